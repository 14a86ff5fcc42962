"""Heads that share their keys are the rows of one product, where an attention is small: fewer packets, fuller strips.

Logits, exponents, records and values of several heads are each one operation, whose pixels are those of one head after
another. Not here: the operations of one head (`lowering/attention.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vla_isa.hardware import HardwareConfig
from vlac.device.concat import ConcatOp
from vlac.device.product import LogitsOp, MixOp
from vlac.device.recip import RecipOp
from vlac.device.row import RowOp
from vlac.device.select import SelectOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor

__all__ = ["heads_as_rows"]

_FIRST = 0.375  # of the heads in the first of two groups, whose products nothing hides
_MANY = 128  # rows of all heads from which three groups are better
_SHARE = 8  # of the scratchpad that logits and exponents of a group may take


@dataclass(frozen=True)
class _Head:
    """The operations of a head and the Concat that it is a part of."""

    logits: LogitsOp
    exponents: RowOp
    records: RecipOp
    mix: MixOp
    joined: ConcatOp


def heads_as_rows(graph: Graph, hw: HardwareConfig) -> None:
    """Join the heads of every such attention, in two groups or more, so that one group's exponents hide another's
    products.
    """
    alike: dict[tuple[Tensor, ...], list[_Head]] = {}
    for op in graph.ops:
        head = _head(graph, op)
        if head is not None:
            alike.setdefault((*head.logits.inputs[1:], head.mix.inputs[1], head.joined.output), []).append(head)
    for heads in alike.values():
        if len(heads) > 1:
            size = _group_size(heads, _wanted(heads), hw)
            small = len(heads) % size or size
            for group in (heads[:small], *(heads[i : i + size] for i in range(small, len(heads), size))):
                _join(graph, group, hw.block)


def _head(graph: Graph, op: Op) -> _Head | None:
    """The operations behind the logits of a head, where each is read by the next alone."""
    if not isinstance(op, LogitsOp) or not isinstance(op.inputs[0].producer, SelectOp):
        return None
    found: list[Op] = [op]
    for kind in (RowOp, RecipOp, MixOp, ConcatOp):
        readers = [r for r in found[-1].output.consumers if not isinstance(r, MixOp) or kind is MixOp]
        if len(readers) != 1 or not isinstance(readers[0], kind) or graph.is_output(found[-1].output):
            return None
        found.append(readers[0])
    logits, exponents, records, mix, joined = found
    assert isinstance(logits, LogitsOp) and isinstance(exponents, RowOp) and isinstance(records, RecipOp)
    assert isinstance(mix, MixOp) and isinstance(joined, ConcatOp)
    plain = mix.inputs[0] is exponents.output and mix.output.parent is joined.output
    plain = plain and logits.is_one_packet and not mix.low_bytes and mix.output.planes == 1
    return _Head(logits, exponents, records, mix, joined) if plain else None


def _wanted(heads: list[_Head]) -> int:
    """Heads of the largest group: of all of an attention in two or three groups, of those of some keys in one."""
    count = len(heads)
    if count < len(heads[0].joined.inputs):
        return count
    first = round(_FIRST * count)
    return count - first if count * heads[0].logits.output.w < _MANY else max(first, 1)


def _group_size(heads: list[_Head], most: int, hw: HardwareConfig) -> int:
    """How many of them are one group: up to `most` that follow each other in their tensors."""
    logits = heads[0].logits
    words = logits.output.blocks(hw.block) * (logits.output.planes + 1) * logits.output.w
    rows = logits.most_pixels(hw) // logits.output.w
    most = min(most, rows, hw.act_words // _SHARE // words)
    if not all(_follows(a, b, hw.block) for a, b in pairwise(heads)):
        return 1
    return max(most, 1)


def _follows(a: _Head, b: _Head, block: int) -> bool:
    """Whether a head's queries and its result lie behind those of another, in the same order."""
    for x, y in ((a.logits.inputs[0], b.logits.inputs[0]), (a.mix.output, b.mix.output)):
        behind = x.parent is y.parent and y.offset == x.offset + x.blocks(block)
        if not behind or not np.array_equal(x.known_map(), y.known_map()):
            return False
    return a.joined.inputs.index(b.mix.output) == a.joined.inputs.index(a.mix.output) + 1


def _join(graph: Graph, heads: list[_Head], block: int) -> None:
    """Let the operations of the first head be those of all."""
    if len(heads) < 2:
        return
    first, count = heads[0], len(heads)
    queries = [h.logits.inputs[0] for h in heads]
    x = _beside(queries)
    choices = [h.logits.inputs[0].producer for h in heads]
    channels = np.concatenate([c.channels for c in choices if isinstance(c, SelectOp)])
    choice = SelectOp(first.logits.node, "Slice", list(choices[0].inputs), x, channels)  # type: ignore[union-attr]
    choice.is_whole = all(isinstance(c, SelectOp) and c.is_whole for c in choices)
    logits, shares, records = (_stacked(op.output, count) for op in (first.logits, first.exponents, first.records))
    mixed = _beside([h.mix.output for h in heads])
    made = [
        choice,
        replace(first.logits, inputs=[x, *first.logits.inputs[1:]], output=logits, heads=count),
        replace(first.exponents, inputs=[logits], output=shares),
        replace(first.records, inputs=[shares], output=records),
    ]
    mix = replace(first.mix, inputs=[shares, first.mix.inputs[1], records], output=mixed, heads=count)
    at = first.joined.inputs.index(first.mix.output)
    for _ in heads[1:]:
        graph.drop_input(first.joined, at + 1)
    graph.set_input(first.joined, at, mixed)
    place, behind = first.logits, heads[-1].mix
    for op in made:
        graph.insert(op, before=place)
    graph.insert(mix, before=behind)
    for head in heads:
        for old in (head.mix, head.records, head.exponents, head.logits):
            graph.erase(old)
    for made_of in choices:
        if made_of is not None and not made_of.output.consumers and not graph.is_output(made_of.output):
            graph.erase(made_of)


def _beside(parts: list[Tensor]) -> Tensor:
    """Parts of a tensor that follow each other, as one part."""
    first, c = parts[0], parts[0].c
    out = first.like(f"{first.name}:heads", label=f"{first.label}:heads", shape=(1, first.w, len(parts) * c))
    maps = [np.where(t.known_map() < 0, -1, t.known_map() + i * c) for i, t in enumerate(parts)]
    out.channel_map, out.parent, out.offset = np.concatenate(maps), first.parent, first.offset
    return out


def _stacked(t: Tensor, count: int) -> Tensor:
    """A tensor with the pixels of so many heads."""
    w, c = count * t.w, t.c
    out = t.like(f"{t.name}:heads", label=t.label, shape=(w, c) if len(t.shape) == 2 else (1, w, c))
    out.home, out.with_items, out.channel_map = t.home, t.with_items, t.channel_map
    return out
