"""Cut every operation: which rows (bands) and which output blocks (chunks) one packet computes.

A stage is what is emitted together: one operation, or a convolution and the pool behind it, band by band.
Input: a placed graph. Output: a Plan. Not here: how bands (`bands.py`) and chunks (`loads.py`) are chosen, addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

from vla_isa.hardware import HardwareConfig
from vlac.device.weights import weight_layout
from vlac.ir.cut import Cut, WeightLayout
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor
from vlac.plan.bands import Streaming, overlap_bands, spans_of, streaming_bands
from vlac.plan.loads import chunks_of, param_layout
from vlac.plan.shared_weights import first_with_equal_weights

__all__ = ["OpPlan", "Plan", "Stage", "cut_alone", "make_plan"]


@dataclass
class OpPlan:
    """One operation and its cut."""

    op: Op
    cut: Cut


@dataclass
class Stage:
    """Operations emitted together, band by band."""

    plans: list[OpPlan]


@dataclass
class Plan:
    """The whole program's cut.

    Attributes:
        stages: in order.
        streamed: tensors that live in the data space and are loaded and stored band by band, in the order in which
            they were chosen.
        rings: (stage, streamed tensor) -> how many of its rows are on chip in that stage, one behind another and the
            first again behind the last.
        without_prefetch: stages whose rings have no room for the next band while one is in use.
    """

    stages: list[Stage]
    streamed: dict[Tensor, None] = field(default_factory=dict)
    rings: dict[tuple[int, Tensor], int] = field(default_factory=dict)
    without_prefetch: set[int] = field(default_factory=set)

    @cached_property
    def plans(self) -> list[OpPlan]:
        """Of all operations, in order."""
        return [p for stage in self.stages for p in stage.plans]

    @cached_property
    def weight_starts(self) -> list[int]:
        """The first word of each operation's weights in the weight space."""
        sizes = [
            0 if p.cut.weights is None or owner != number else p.cut.weights.total * len(p.op.experts)
            for number, (p, owner) in enumerate(zip(self.plans, self.weight_owners, strict=True))
        ]
        starts = list(accumulate(sizes, initial=0))
        return [starts[owner] for owner in self.weight_owners]

    @cached_property
    def owners(self) -> list[int]:
        """Of each operation the number of the first that has its weights and parameters: bands share them."""
        first: dict[Op, int] = {}
        return [first.setdefault(p.op.whole or p.op, number) for number, p in enumerate(self.plans)]

    @cached_property
    def weight_owners(self) -> list[int]:
        """Of each operation the number of the first that reads the same weight words."""
        return first_with_equal_weights([(p.op, p.cut.weights) for p in self.plans], self.owners)


def make_plan(
    graph: Graph, hw: HardwareConfig, streamed: dict[Tensor, None], layouts: dict[Op, WeightLayout], ring_words: int
) -> Plan:
    """Stages, bands and chunks; `streamed` roots are read and written in bands.

    `layouts` keeps those of weights from one attempt to the next; a ring takes at most `ring_words` unless one
    row of output needs more.

    Raises:
        AllocationError: an operation that cannot be cut finely enough.
    """
    chains = any(op.output.home is Home.ITEMS for op in graph.ops)
    stages = [Stage([OpPlan(op, Cut([(0, op.output.h)])) for op in ops]) for ops in _stages(graph, streamed)]
    plan = Plan(stages, streamed)
    shared: dict[Op, Cut] = {}
    for number, stage in enumerate(stages):
        for p in stage.plans:
            streams = [t for t in dict.fromkeys([*p.op.inputs, p.op.output]) if t.root in streamed]
            if streams and p.op.queue:
                _add(plan, number, p.cut, streaming_bands(p.op, streams, hw, ring_words))
            elif p.op.queue:
                p.cut.bands = overlap_bands(graph, p.op, hw, fused=len(stage.plans) > 1)
            p.cut.spans = spans_of(p.op, hw) if chains and p.op.in_spans and p.op.whole is None else []
            if p.op.whole in shared:
                p.cut = replace(shared[p.op.whole], bands=p.cut.bands)
            else:
                _cut_blocks(p, hw, layouts, chained=chains)
                shared[p.op.whole or p.op] = p.cut
    return plan


def cut_alone(op: Op, hw: HardwareConfig, layouts: dict[Op, WeightLayout]) -> Cut:
    """How an operation is cut that is resident and does not share a stage; `layouts` as in `make_plan`."""
    p = OpPlan(op, Cut([(0, op.output.h)]))
    _cut_blocks(p, hw, layouts, chained=True)
    return p.cut


def _stages(graph: Graph, streamed: dict[Tensor, None]) -> list[list[Op]]:
    """Operations in order, a convolution and what runs beside it joined."""
    stages: list[list[Op]] = []
    for op in graph.ops:
        resident = not {t.root for t in (*op.inputs, op.output)} & streamed.keys()
        if stages and op.joins(stages[-1][-1]) and resident:
            stages[-1].append(op)
        else:
            stages.append([op])
    return stages


def _add(plan: Plan, number: int, cut: Cut, streaming: Streaming) -> None:
    cut.bands = streaming.bands
    plan.rings |= {(number, tensor): rows for tensor, rows in streaming.rings.items()}
    if not streaming.prefetch:
        plan.without_prefetch.add(number)


def _cut_blocks(p: OpPlan, hw: HardwareConfig, layouts: dict[Op, WeightLayout], *, chained: bool) -> None:
    """Cut the weights in chunks, and lay out the parameters."""
    op, cut, weights = p.op, p.cut, p.op.weights
    if weights is not None:
        whole = op.whole or op
        if whole not in layouts:
            layouts[whole] = weight_layout(weights, op.inputs[0].known_map(), op.output.known_map(), hw)
        cut.weights = layouts[whole]
        cut.chunks = chunks_of(op, cut.weights, len(cut.bands), hw, chained=chained)
    cut.params = param_layout(op.parameters(cut, hw))
