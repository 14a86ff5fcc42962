"""Keys and values of all heads are copied to weights at once, where there are few: a packet costs more than its words.

Per attention one COPY for keys, one transpose and one COPY for values. Each head's weights are then a part of all.
Not here: the copies of one head (`lowering/attention.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_isa.hardware import HardwareConfig
from vlac.device.bands import PixelSlice
from vlac.device.select import SelectOp
from vlac.device.to_weights import ToWeightsOp, TransposeOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor

__all__ = ["copies_of_heads"]


def copies_of_heads(graph: Graph, hw: HardwareConfig) -> None:
    """Join the copies of every attention whose keys and values take an eighth of the weight scratchpad at most."""
    attentions: dict[str, list[ToWeightsOp]] = {}
    for op in graph.ops:
        if isinstance(op, ToWeightsOp):
            attentions.setdefault(op.node, []).append(op)
    for copies in attentions.values():
        words = sum(op.output.row_words(hw.block) for op in copies)
        if words > hw.weight_words // 8:
            continue
        turned = {op: made for op in copies if isinstance(made := op.inputs[0].producer, TransposeOp)}
        keys = [op for op in copies if op not in turned]
        if _follow(keys, hw.block):
            _join_keys(graph, keys, hw.block)
        if _follow([*turned.values()], hw.block):
            _join_values(graph, [*turned], [*turned.values()], hw.block)


def _follow(ops: Sequence[Op], block: int) -> bool:
    """Whether several operations read heads of one tensor that follow each other and have one form."""
    made = [op.inputs[0].producer for op in ops]
    if len(ops) < 2 or not all(isinstance(op, SelectOp) and op.output.parent is op.inputs[0] for op in made):
        return False
    heads = [op.inputs[0] for op in ops]
    size = heads[0].blocks(block)
    alike = all(np.array_equal(t.known_map(), heads[0].known_map()) for t in heads)
    behind = all(t.offset == heads[0].offset + i * size for i, t in enumerate(heads))
    return alike and behind and len({t.parent for t in heads}) == 1


def _whole(op: Op, shape: tuple[int, ...], home: Home) -> Tensor:
    """A tensor for all heads, named as that of the first."""
    t = op.output
    out = t.like(f"{t.name}:heads", label=f"{t.label}:heads", shape=shape)
    out.home, out.channel_map = home, t.channel_map
    return out


def _join_keys(graph: Graph, keys: list[ToWeightsOp], block: int) -> None:
    first = keys[0].inputs[0]
    length = -(-first.w // block) * block
    channels = tuple(made.channels for op in keys if isinstance(made := op.inputs[0].producer, SelectOp))
    whole = _whole(keys[0], (1, len(keys) * length, first.c), Home.WEIGHTS)
    source = first.parent
    assert source is not None
    joined = ToWeightsOp(keys[0].node, keys[0].op_type, [source], whole, channels, first.offset)
    heads = [op.inputs[0] for op in keys]
    graph.insert(joined, before=keys[0])
    _take_parts(graph, keys, whole, length)
    _erase_choices(graph, heads)


def _join_values(graph: Graph, copies: list[ToWeightsOp], transposes: list[TransposeOp], block: int) -> None:
    heads = [op.inputs[0] for op in transposes]
    source, first, size = heads[0].parent, heads[0].offset, heads[0].blocks(block)
    assert source is not None
    positions = source.known_map()[first * block :][: len(heads) * size * block]
    shape = (1, len(positions), heads[0].w)
    flat, whole = _whole(transposes[0], shape, Home.MATRIX), _whole(copies[0], shape, Home.WEIGHTS)
    node, kind = copies[0].node, copies[0].op_type
    graph.insert(TransposeOp(node, kind, [source], flat, positions, first), before=transposes[0])
    graph.insert(ToWeightsOp(node, kind, [flat], whole), before=copies[0])
    _take_parts(graph, copies, whole, size * block)
    for op in transposes:
        graph.erase(op)
    _erase_choices(graph, heads)


def _erase_choices(graph: Graph, heads: list[Tensor]) -> None:
    """Take out what chose heads that nobody reads any more."""
    for t in heads:
        if t.producer is not None and not t.consumers and not graph.is_output(t):
            graph.erase(t.producer)


def _take_parts(graph: Graph, ops: list[ToWeightsOp], whole: Tensor, step: int) -> None:
    """Let each head's weights be a part of all."""
    for number, op in enumerate(ops):
        out = op.output
        out.parent, out.pixel = whole, number * step
        graph.replace_op(op, PixelSlice(op.node, "Slice", [whole], out))
