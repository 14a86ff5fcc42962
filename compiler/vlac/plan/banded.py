"""Regions of a graph as it is, or with its sequences in bands of as many rows as fit.

Not here: how a graph is cut (`rows.py`), regions of one that is (`regions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vla_isa.cost import REFERENCE
from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vlac.errors import AllocationError
from vlac.ir.cut import WeightLayout
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor
from vlac.ir.packet import Region, RelocatablePacket
from vlac.plan.order import in_queue_order
from vlac.plan.plan import Plan, cut_alone
from vlac.plan.query_parts import in_query_parts
from vlac.plan.regions import Regions, allocate_regions
from vlac.plan.rounds import once_and_rounds
from vlac.plan.rows import Banded, cut_rows
from vlac.plan.sequences import Sequences, longest

__all__ = ["allocate_in_bands"]

_COUNTS = (*range(1, 17), 20, 24, 32, 48, 64)  # of bands, to choose from
_LONG = 4  # strips or blocks of a band that is worth more than room for what others make
_FAR, _NEAR = 6, 2  # operations that the order looks ahead
_SHARED = 2  # how much slower vector work is while the array takes half of the banks


def allocate_in_bands(
    graph: Graph, hw: HardwareConfig, copied_again: Callable[[], None] | None = None
) -> tuple[Plan, Regions]:
    """Plan and place; where sequences do not fit, the graph is cut in bands of rows, as few as can be.

    Args:
        graph, hw: what is placed where.
        copied_again: undoes what the graph has in place (`rows_in_place.py`), for one that does not fit so.

    Raises:
        AllocationError: something does not fit however it is cut.
    """
    layouts: dict[Op, WeightLayout] = {}
    try:
        return _allocated(graph, hw, layouts)
    except AllocationError as e:
        if copied_again is not None:
            copied_again()
            return allocate_in_bands(graph, hw)
        if not any(op.output.home is Home.ITEMS for op in graph.ops):
            raise
        refusal = e
    ops, outputs, homes = list(graph.ops), list(graph.outputs), {t: t.home for t in graph.inputs}
    cost = _costs(hw, layouts)
    for rows, spill, ahead in _choices(ops, hw):
        parts = in_query_parts(ops, {o.tensor for o in outputs}, rows, hw)
        sequences = Sequences(parts, list(graph.inputs), rows, hw, spill)
        if sequences.least_words > hw.act_words:
            continue
        banded = cut_rows(sequences, outputs)
        order = [in_queue_order(some, cost, ahead) for some in once_and_rounds(graph, banded.instances)]
        _take(graph, banded, homes, [op for some in order for op in some])
        try:
            return _allocated(graph, hw, layouts)
        except AllocationError:
            continue
    raise refusal


def _allocated(graph: Graph, hw: HardwareConfig, layouts: dict[Op, WeightLayout]) -> tuple[Plan, Regions]:
    for op in graph.ops:
        most = op.most_pixels(hw)
        if most is not None and op.output.w > most:
            raise AllocationError(
                f"{op.op_type} '{op.node}' has {op.output.w} rows; the machine makes at most {most} at a time, and "
                "they cannot be made in bands. Use a shorter sequence",
                op.node,
            )
    return allocate_regions(graph, hw, layouts)


def _choices(ops: Sequence[Op], hw: HardwareConfig) -> Iterator[tuple[int, bool, int]]:
    """Rows of a band, whether to spill, and how far to look ahead; what is best first."""
    unit, width = max(hw.block, hw.pixels), longest(ops)
    largest = min((m for op in ops if (m := op.most_pixels(hw)) is not None), default=width)
    sizes = dict.fromkeys(min(-(-width // (n * unit)), largest // unit) * unit for n in _COUNTS)
    for spill, ahead in ((False, _FAR), (True, _FAR), (True, _NEAR)):
        for rows in sizes:
            if 0 < rows < width and (rows >= _LONG * unit or spill):
                yield rows, spill, ahead


def _take(graph: Graph, banded: Banded, homes: dict[Tensor, Home], ops: list[Op]) -> None:
    """Make the graph that of the banded operations."""
    for t, home in homes.items():
        t.home = Home.DATA if t in banded.inputs else home
    graph.outputs = banded.outputs
    graph.set_ops(ops)
    for t in (*graph.inputs, *(t for op in ops for t in (*op.inputs, op.output))):
        t.consumers, t.producer = [], None
    for op in ops:
        op.output.producer = op
        for t in op.inputs:
            t.consumers.append(op)


def _costs(hw: HardwareConfig, layouts: dict[Op, WeightLayout]) -> Callable[[Op], int]:
    """Cycles of an operation by the performance model, before anything has an address.

    Layers are alike, and so are their packets here: each is asked for once.
    """
    known: dict[tuple[Op, int], int] = {}
    of_packets: dict[tuple[object, ...], int] = {}

    def region(tensor: Tensor) -> Region:
        return Region(0, 0, -(-tensor.w // hw.block) * hw.block, 1, tensor.planes)

    def cost(op: Op) -> int:
        key = (op.whole or op, op.output.w)
        if key not in known:
            cut = cut_alone(op, hw, layouts)
            made = [p for chunk in cut.chunks for p in op.packets(cut, cut.bands[0], chunk, region, hw)]
            known[key] = sum(cycles(p) for p in made)
        return known[key]

    def cycles(packet: RelocatablePacket) -> int:
        key = (packet.name, *packet.values.items())
        if key not in of_packets:
            of_packets[key] = _cycles(packet, hw)
        return of_packets[key]

    return cost


def _cycles(packet: RelocatablePacket, hw: HardwareConfig) -> int:
    made = make_packet(packet.name, **packet.values)
    cost = made.instruction.cost(made, hw, None, REFERENCE)
    beside_others = cost.touches.operands is None and cost.touches.reads is not None
    return cost.cycles * (_SHARED if beside_others else 1)
