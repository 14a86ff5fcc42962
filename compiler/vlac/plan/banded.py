"""Regions of a graph as it is, or with its sequences in bands of as many rows as fit.

Not here: how a graph is cut (`rows.py`), regions of one that is (`regions.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from vla_isa.cost import REFERENCE
from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vlac.errors import AllocationError
from vlac.ir.cut import WeightLayout
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor
from vlac.ir.packet import Region, RelocatablePacket
from vlac.plan.order import in_queue_order, weights_early
from vlac.plan.plan import Plan, cut_alone
from vlac.plan.query_parts import in_query_parts
from vlac.plan.regions import Regions, allocate_regions
from vlac.plan.rounds import carried_inputs, once_and_rounds
from vlac.plan.rows import Banded, cut_rows
from vlac.plan.sequences import Sequences, Spill, longest

__all__ = ["allocate_in_bands"]

_COUNTS = (*range(1, 17), 20, 24, 32, 48, 64)  # of bands, to choose from
_SMALL = 8  # such a part of the scratchpad
_LONG = 4  # strips or blocks of a band that is worth more than room for what others make
_FAR, _NEAR = 6, 2  # operations that the order looks ahead
_WAYS = ((Spill.NOTHING, _FAR), (Spill.BANDS, _FAR), (Spill.BANDS, _NEAR), (Spill.ALL, _NEAR))
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
    bands = _Bands(graph, hw, layouts)
    for search in (_first_that_fits, _between_that_fits):  # before a refusal all sizes are tried
        for spill, ahead in _WAYS:
            found = search(_sizes(bands.ops, hw, spill), partial(bands.placed, spill=spill, ahead=ahead))
            if found is not None:
                bands.take(found.banded, found.ops)
                return found.plan, found.regions
    raise refusal


@dataclass
class _Placed:
    """The operations of a graph in bands, in their order, and where everything lies."""

    banded: Banded
    ops: list[Op]
    plan: Plan
    regions: Regions
    used: float  # share of the scratchpad


class _Bands:
    """Tries a graph in bands of some rows.

    Args:
        graph: becomes that of the bands of the last trial.
        hw: the machine.
        layouts: those of weights that are known, which others are put to.
    """

    def __init__(self, graph: Graph, hw: HardwareConfig, layouts: dict[Op, WeightLayout]) -> None:
        self._graph, self._hw, self._layouts = graph, hw, layouts
        self.ops, self._outputs = list(graph.ops), list(graph.outputs)
        self._inputs = {t: t.home for t in graph.inputs}
        self._cost = _costs(hw, layouts)

    def placed(self, rows: int, spill: Spill, ahead: int) -> _Placed | None:
        """With bands of `rows` pixels; None where something does not fit.

        Args:
            rows: a multiple of B.
            spill: what lies in the data space between phases.
            ahead: operations of a band that the order looks ahead.
        """
        ops = weights_early(self.ops) if spill else self.ops
        parts = in_query_parts(ops, {o.tensor for o in self._outputs}, rows, self._hw)
        sequences = Sequences(parts, list(self._inputs), rows, self._hw, spill, self._small_states())
        if sequences.least_words > self._hw.act_words:
            return None
        banded = cut_rows(sequences, self._outputs)
        instances = once_and_rounds(self._graph, banded.instances)
        ordered = [op for some in instances for op in in_queue_order(some, self._cost, ahead)]
        self.take(banded, ordered)
        try:
            plan, regions = _allocated(self._graph, self._hw, self._layouts)
        except AllocationError:
            return None
        return _Placed(banded, ordered, plan, regions, regions.most_words / self._hw.act_words)

    def _small_states(self) -> set[Tensor]:
        """Carried state of which a band would be read after the next run's is written."""
        words = {t: t.w * t.blocks(self._hw.block) * t.planes for t in carried_inputs(self._graph)}
        return {t for t, size in words.items() if size <= self._hw.act_words // _SMALL}

    def take(self, banded: Banded, ops: list[Op]) -> None:
        """Make the graph that of some bands, with their operations in an order."""
        graph = self._graph
        for t, home in self._inputs.items():
            t.home = Home.DATA if t in banded.inputs else home
        graph.outputs = banded.outputs
        graph.set_ops(ops)
        for t in (*graph.inputs, *(t for op in ops for t in (*op.inputs, op.output))):
            t.consumers, t.producer = [], None
        for op in ops:
            op.output.producer = op
            for t in op.inputs:
                t.consumers.append(op)


def _first_that_fits(sizes: Sequence[int], placed: Callable[[int], _Placed | None]) -> _Placed | None:
    """The largest bands that fit, of some sizes in decreasing order; none where the smallest do not."""
    if not sizes:
        return None
    found = placed(sizes[0])
    if found is not None or len(sizes) == 1 or (smallest := placed(sizes[-1])) is None:
        return found
    found, too_large, fits = smallest, 0, len(sizes) - 1
    # what would not fit if all words grew with the rows, is looked at first: where most do, the search ends there
    middle = next((n for n in range(fits - 1, 0, -1) if sizes[n] * found.used > sizes[fits]), 1)
    while fits - too_large > 1:
        tried = placed(sizes[middle])
        if tried is None:
            too_large = middle
        else:
            found, fits = tried, middle
        middle = (too_large + fits) // 2
    return found


def _between_that_fits(sizes: Sequence[int], placed: Callable[[int], _Placed | None]) -> _Placed | None:
    """The largest of the sizes between, where the smallest do not fit: regions are placed by size, not at best."""
    return next((found for rows in sizes[1:-1] if (found := placed(rows)) is not None), None)


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


def _sizes(ops: Sequence[Op], hw: HardwareConfig, spill: Spill) -> list[int]:
    """Rows of a band, decreasing."""
    unit, width = max(hw.block, hw.pixels), longest(ops)
    largest = min((m for op in ops if (m := op.most_pixels(hw)) is not None), default=width)
    sizes = dict.fromkeys(min(-(-width // (n * unit)), largest // unit) * unit for n in _COUNTS)
    return [rows for rows in sizes if 0 < rows < width and (rows >= _LONG * unit or spill)]


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
