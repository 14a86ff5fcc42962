"""What of a repeated model runs in every round, and what once in front of them.

An operation runs in every round if it depends on carried state or on the number of the round. Others come first, and
what they make stays on chip for all rounds. Not here: the loop's packets (`emit/rounds.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vlac.device.bands import LoadRows, LoadWeights
from vlac.device.gather import StepRowOp
from vlac.device.gemm import GemmOp
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor
from vlac.plan.plan import Plan

__all__ = [
    "carried_inputs",
    "first_round_stage",
    "kept_sources",
    "kept_states",
    "once_and_rounds",
    "once_first",
    "share_constants",
]


def once_first(graph: Graph) -> None:
    """Move what runs once in front.

    Raises:
        UnsupportedError: a table of rows by the round's number has fewer rows than there are rounds.
    """
    if graph.repeat == 1:
        return
    for op in graph.ops:
        if isinstance(op, StepRowOp) and op.inputs[0].w < graph.repeat:
            text = f"its table has {op.inputs[0].w} rows; {graph.repeat} runs read one each"
            raise UnsupportedError([f"{op.op_type} '{op.node}': {text}"])
    inside = _in_rounds(graph, graph.ops)
    graph.ops.sort(key=lambda op: op in inside)


def share_constants(graph: Graph) -> None:
    """Let equal constants of a repeated model, which all stay on chip, be one: masks and tables of its blocks."""
    if graph.repeat == 1:
        return
    known: dict[tuple[object, ...], Tensor] = {}
    for op in graph.ops:
        for index, t in enumerate(op.inputs):
            if t.constant is None or t.home is not Home.MATRIX or t.parent is not None:
                continue
            values = t.constant.dtype.str, t.constant.tobytes(), t.known_map().tobytes()
            first = known.setdefault((t.shape, t.scale, t.zero_point, t.type, t.with_items, *values), t)
            if first is not t:
                graph.set_input(op, index, first)


def once_and_rounds(graph: Graph, instances: Sequence[Sequence[Op]]) -> list[list[list[Op]]]:
    """The operations of bands that run once, and those of every round; all of them where the model runs once."""
    if graph.repeat == 1:
        return [[list(ops) for ops in instances]]
    inside = _in_rounds(graph, [op for ops in instances for op in ops])
    parts = [[[op for op in ops if (op in inside) == repeated] for ops in instances] for repeated in (False, True)]
    return [[ops for ops in part if ops] for part in parts]


def first_round_stage(graph: Graph, plan: Plan) -> int | None:
    """The first stage of those that run in every round; None where the model runs once."""
    if graph.repeat == 1:
        return None
    inside = _in_rounds(graph, graph.ops)
    return next(i for i, stage in enumerate(plan.stages) if any(p.op in inside for p in stage.plans))


def kept_sources(graph: Graph) -> set[Tensor]:
    """What rounds read of the data space and nothing changes: inputs that are not carried, and constants.

    Loaded once in front of the rounds, where all of it has room on chip beside what they make. Where bands fill the
    scratchpad, what they make would wait for words.
    """
    if graph.repeat == 1 or _in_parts(graph):
        return set()
    inside = _in_rounds(graph, graph.ops)
    read = {t.root for op in inside for t in op.inputs if t.home.on_chip}
    elsewhere = {t.root for op in graph.ops for t in (op.output, *(() if op in inside else op.inputs))}
    fixed = {t for t in graph.inputs if t not in carried_inputs(graph)}
    loaded = {t for t in read - elsewhere if t.constant is not None or t in fixed}
    return loaded | {t.root for t in fixed if t.parent is not None}  # rows that others are put beside


def _in_parts(graph: Graph) -> bool:
    """Whether operations do some pixels of others."""
    return any(op.whole is not None for op in graph.ops)


def kept_states(graph: Graph) -> dict[Tensor, Tensor]:
    """The input in whose words each carried output may lie, as every round reads it before they are written."""
    if graph.repeat == 1 or _in_parts(graph):
        return {}
    found: dict[Tensor, Tensor] = {}
    for x in carried_inputs(graph):
        made = [o.tensor for o in graph.outputs if o.name == graph.carried[graph.input_labels[x][0]]]
        if len(made) == 1 and _can_lie_in(graph, made[0], x):
            found[made[0]] = x
    return found


def _can_lie_in(graph: Graph, out: Tensor, x: Tensor) -> bool:
    """Whether an output is written as a carried input lies, behind all that read it or as a residual is added."""
    maker = out.producer
    if not isinstance(maker, GemmOp) or any(t.parent is not None or t.with_items or t.h != 1 for t in (x, out)):
        return False
    if x.home is not Home.MATRIX or out.home is not Home.MATRIX or x.is_vector or x in graph.input_layouts:
        return False
    alike = x.same_scale(out) and x.w == out.w and np.array_equal(x.known_map(), out.known_map())
    last = graph.ops.index(maker)
    readers = [op for op in graph.ops if any(t.root is x for t in op.inputs)]
    return alike and maker.inputs[0].root is not x and all(graph.ops.index(op) <= last for op in readers)


def carried_inputs(graph: Graph) -> set[Tensor]:
    """The inputs that a round, or a run, has from the one before."""
    if not graph.carried:
        return set()
    assert graph.signature is not None
    names = [v.name for v in graph.signature.inputs]
    carried = {names.index(name) for name in graph.carried}
    return {t for t in graph.inputs if graph.input_labels[t][1] in carried}


def _in_rounds(graph: Graph, ops: Sequence[Op]) -> set[Op]:
    """Those of some operations, in a legal order, that depend on carried state or on the number of the round.

    What is loaded from the data space for them alone is loaded in every round: not all of it has room on chip.
    """
    varying = {t.root for t in carried_inputs(graph)}
    found: set[Op] = set()
    for op in ops:
        if isinstance(op, StepRowOp) or any(t in varying or t.root in varying for t in op.inputs):
            found.add(op)
            varying |= {op.output, op.output.root}
    elsewhere = {t for op in ops if op not in found for t in op.inputs}
    return found | {op for op in ops if isinstance(op, (LoadRows, LoadWeights)) and op.output not in elsewhere}
