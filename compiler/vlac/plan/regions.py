"""Regions of the activation scratchpad: live ranges, placement by size, pitches that avoid bank conflicts.

Every tensor that is nobody's part gets a region from the stage that makes it to the last that reads it. Where
they do not all fit, the largest image at the place of overflow is streamed: it lives in the data space and
only a ring of rows is on chip in the stages that use it. Weights that are computed get regions in the same way, at the
end of the weight scratchpad.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

from vla_isa.hardware import BANKS, HardwareConfig
from vlac.errors import AllocationError
from vlac.ir.cut import WeightLayout
from vlac.ir.graph import Graph
from vlac.ir.operation import ITEM_BYTES, Home, Op, Tensor
from vlac.ir.packet import Region
from vlac.plan.plan import Plan, make_plan
from vlac.plan.rounds import first_round_stage, kept_sources, kept_states

__all__ = ["Regions", "allocate_regions"]


_ARRAY_PITCH, _WIDE_PITCH = 8, 12  # modulo BANKS: the array takes 8 neighbouring banks, vector work finds others
_SLACKS = (24, 12, 6, 3, 0)  # stages that words are in no use
_TRIES = 128  # until all have less slack
_TIME = 32  # stages that are looked at together
_WIDE_ENOUGH = 2 * BANKS  # pixels from which the words between planes are worth it


@dataclass(eq=False)
class _Item:
    """What needs words: a whole tensor over its live range with its items behind it, or a ring in one stage."""

    tensor: Tensor
    first: int
    last: int
    row_stride: int
    pitch: int
    ring: int
    items: int = 0
    slack: int = 0
    base: int = -1

    @property
    def size(self) -> int:
        return self.ring * self.row_stride + self.items

    @property
    def until(self) -> int:
        """The last stage that nothing else may have its words in."""
        return self.last + self.slack


class Regions:
    """Regions by tensor (and stage, for streamed ones).

    `items` are those of the activation scratchpad; `ring_words` of the weight scratchpad are left to weights that are
    loaded, from its first word on. `kept` have their words through all rounds of a repeated model.
    """

    def __init__(
        self, items: list[_Item], weights: list[_Item], kept: set[Tensor], plan: Plan, hw: HardwareConfig
    ) -> None:
        """Index the placed items."""
        self.items, self.kept, self._block = items, kept, hw.block
        self.ring_words = min([hw.weight_words, *(i.base for i in weights)])
        self._resident = {i.tensor: i for i in (*items, *weights) if i.tensor.root not in plan.streamed}
        self._rings = {(i.first, i.tensor): i for i in items if i.tensor.root in plan.streamed}

    @property
    def most_words(self) -> int:
        """Of the activation scratchpad, in use at once."""
        return max(_words_by_stage(self.items))

    def of(self, tensor: Tensor, stage: int) -> Region:
        """The region of a tensor as a stage sees it."""
        item = self._rings.get((stage, tensor)) or self._resident.get(tensor)
        if item is not None:
            behind = item.base + item.ring * item.row_stride
            if tensor.home is Home.WEIGHTS:
                return Region(item.base, 0, tensor.blocks(self._block), 1)
            return Region(item.base, item.row_stride, item.pitch, item.ring, tensor.planes, behind)
        assert tensor.parent is not None
        parent = self.of(tensor.parent, stage)
        if tensor.row_by_row:
            return Region(parent.base + tensor.offset, tensor.row_words(self._block), tensor.pitch, tensor.h)
        return part_of(parent, tensor, self._block)


def part_of(whole: Region, tensor: Tensor, block: int) -> Region:
    """Where some channel blocks or pixels of a tensor lie."""
    if tensor.home is Home.WEIGHTS:
        return replace(whole, base=whole.base + tensor.pixel // block * whole.pitch + tensor.offset)
    if tensor.home is Home.ITEMS:
        return replace(whole, base=whole.base + tensor.pixel * ITEM_BYTES // block)
    blocks = replace(whole, base=whole.block(tensor.offset))
    return blocks.pixel(tensor.pixel, item_words=ITEM_BYTES // block)


def allocate_regions(graph: Graph, hw: HardwareConfig, layouts: dict[Op, WeightLayout]) -> tuple[Plan, Regions]:
    """Plan and place; streams the largest tensors until everything fits.

    Args:
        graph, hw: what is placed where.
        layouts: those of weights that are known, which others are put to.

    Raises:
        AllocationError: something does not fit however it is cut.
    """
    streamed: dict[Tensor, None] = {}
    rows: dict[Tensor, int] = {}  # words of a row of each root tensor, kept from one attempt to the next
    shares = [4, 8, 16, 32]  # a ring may take one such part of the scratchpad; one row of output in any case
    states = kept_states(graph)
    kept = kept_sources(graph) | set(states.values())
    for out, x in states.items():
        out.parent = x
    while True:
        plan = make_plan(graph, hw, streamed, layouts, hw.act_words // shares[0])
        items, weights = _items(graph, plan, hw, rows, kept)
        failed = _fit(items, hw.act_words)
        if failed is None:
            _place_weights(weights, plan, hw)
            return plan, Regions(items, weights, kept, plan, hw)
        if kept:
            kept = set()
            for out in states:
                out.parent = None
            continue
        together = [i for i in items if not (i.last < failed.first or failed.last < i.first)]
        choices = [i for i in together if i.tensor.root not in streamed and _can_stream(i.tensor)]
        if choices:
            streamed[max(choices, key=lambda i: i.size).tensor] = None
        elif streamed and len(shares) > 1:
            shares.pop(0)
        else:
            raise _too_large(plan, items, failed, hw)


def _too_large(plan: Plan, items: list[_Item], failed: _Item, hw: HardwareConfig) -> AllocationError:
    """Names the operation at which most is needed while the item that did not fit is alive, and the tensors."""
    used = _words_by_stage(items)
    stage = max(range(failed.first, failed.last + 1), key=lambda s: used[s])
    alive = [i for i in items if i.first <= stage <= i.last]
    op = plan.stages[stage].plans[0].op
    size = {i.tensor.label: i.size * hw.act_word_bytes for i in alive}
    return AllocationError(
        f"{op.op_type} '{op.node}' needs {sum(size.values())} bytes of the activation scratchpad at once "
        f"({', '.join(f'{label!r} {n}' for label, n in size.items())}); '{hw.name}' has "
        f"{hw.act_words * hw.act_word_bytes}. Use a config with more memory or a smaller input",
        op.node,
    )


def _place_weights(items: list[_Item], plan: Plan, hw: HardwareConfig) -> None:
    """Place weights that are computed, the first to be placed at the end, in half of the weight scratchpad."""
    failed = _fit(items, hw.weight_words // 2)
    if failed is not None:
        op = plan.stages[failed.first].plans[0].op
        raise AllocationError(
            f"{op.op_type} '{op.node}' needs {failed.size} words of the weight scratchpad for '{failed.tensor.label}', "
            f"beside others at the same time; '{hw.name}' has {hw.weight_words // 2} for what is computed. Use a "
            "config with more memory, fewer keys or a smaller head",
            op.node,
        )
    for item in items:
        item.base = hw.weight_words - item.base - item.size


def _items(
    graph: Graph, plan: Plan, hw: HardwareConfig, rows: dict[Tensor, int], kept: set[Tensor]
) -> tuple[list[_Item], list[_Item]]:
    """What needs words of the activation and of the weight scratchpad."""
    items = [_Item(t, number, number, t.row_words(hw.block), t.pitch, ring) for (number, t), ring in plan.rings.items()]
    ranges: dict[Tensor, tuple[int, int]] = {}
    for number, stage in enumerate(plan.stages):
        for p in stage.plans:
            for t in (*p.op.inputs, p.op.output):
                if not t.home.on_chip:
                    continue
                first, last = ranges.get(t.root, (number, number))
                ranges[t.root] = (min(first, number), max(last, number))
    pitches = _pitches(graph, hw)
    rounds = first_round_stage(graph, plan)
    for root, (first, last) in ranges.items():
        if root in plan.streamed:
            continue
        if any(o.tensor.root is root for o in graph.outputs):
            last = max(last, min(last + 1, len(plan.stages) - 1))  # its stores overlap the next stage
        if rounds is not None and root in kept:
            first, last = rounds - 1, len(plan.stages)  # loaded in front of the rounds, stored behind them
        elif rounds is not None and first < rounds <= last:
            last = len(plan.stages) - 1  # every round reads it
        pitch = pitches.get(root, root.pitch)
        if root not in rows:
            words = root.blocks(hw.block) * root.planes * pitch if root in pitches else root.row_words(hw.block)
            rows[root] = words + _row_padding(root, hw)
        behind = root.item_words(hw.block) if root.with_items else 0
        items.append(_Item(root, first, last, rows[root], pitch, root.h, behind))
    return [i for i in items if i.tensor.home is not Home.WEIGHTS], [i for i in items if i.tensor.home is Home.WEIGHTS]


def _pitches(graph: Graph, hw: HardwareConfig) -> dict[Tensor, int]:
    """Words between the planes of matrices of one row, where that is more than their pixels.

    Some operations touch what lies behind the last pixel. Where vector work runs beside the array, what the array reads
    and int16 get pitches with which they find free banks.
    """
    least: dict[Tensor, int] = {}
    phases: dict[Tensor, int] = {}
    for op in graph.ops:
        for t in (*op.inputs, op.output):
            root = t.root
            if root.home is Home.MATRIX and root.h == 1 and not root.is_vector and _may_be_apart(op, t):
                least[root] = max(least.get(root, root.pitch), op.touched_pixels(t, hw.block))
                wide = root.planes == 2 or (op.reads_pairs and t is not op.output)
                if wide and (root.w >= _WIDE_ENOUGH or _planes_meet(root.w)):
                    phases[root] = _WIDE_PITCH
                elif root.w >= _WIDE_ENOUGH and op.queue == "mac" and t is op.inputs[0]:
                    phases[root] = _ARRAY_PITCH
    if any(op.output.home is Home.ITEMS for op in graph.ops):
        least |= {root: least[root] + (phase - least[root]) % BANKS for root, phase in phases.items()}
    return {root: pitch for root, pitch in least.items() if pitch != root.pitch}


def _may_be_apart(op: Op, t: Tensor) -> bool:
    """Whether planes of a tensor may have words between them; of a constant where it costs no copy."""
    return t.root.constant is None or op.reads_pairs


def _planes_meet(pitch: int) -> bool:
    """Whether both planes of two pixels lie in fewer than four banks."""
    return pitch > 1 and (pitch + 1) % BANKS <= 2


def _fit(items: list[_Item], capacity: int) -> _Item | None:
    """Place, where row vectors are about with words in no use for some stages, as many as there is room for.

    Heads and norms are chains of short operations on several queues: what is made next must not wait for the words of
    what was read last. Where an item does not fit, those about it stay in no use for fewer stages. Returns an item that
    does not fit however, or None.
    """
    chains = any(i.tensor.home is not Home.MATRIX for i in items) and max(_words_by_stage(items)) <= capacity
    for item in items:
        item.slack = _SLACKS[0] if chains else 0
    tries = 0
    while (failed := _first_fit(items, capacity)) is not None:
        tries += 1
        near = items if tries > _TRIES else [i for i in items if i.first <= failed.until and failed.first <= i.until]
        crowd = [i for i in near if i.slack]
        if not crowd:
            return failed
        for item in crowd:
            item.slack = next(s for s in _SLACKS if s < item.slack)
    return None


def _words_by_stage(items: list[_Item]) -> list[int]:
    """How many words are in use in each stage."""
    steps = [0] * (max((i.last for i in items), default=0) + 2)
    for item in items:
        steps[max(item.first, 0)] += item.size  # what is loaded in front of all rounds may begin before the first stage
        steps[item.last + 1] -= item.size
    return list(accumulate(steps))


def _first_fit(items: list[_Item], capacity: int) -> _Item | None:
    """Place by decreasing size at the lowest free address; returns an item that does not fit, or None."""
    placed: dict[int, list[_Item]] = {}  # by some stages each
    for item in sorted(items, key=lambda i: (-i.size, i.first)):
        times = range(item.first // _TIME, item.until // _TIME + 1)
        base = 0
        for other in sorted({o for t in times for o in placed.get(t, [])}, key=lambda i: i.base):
            if other.until < item.first or item.until < other.first:
                continue
            if base + item.size <= other.base:
                break
            base = max(base, other.base + other.size)
        if base + item.size > capacity:
            return item
        item.base = base
        for t in times:
            placed.setdefault(t, []).append(item)
    return None


def _can_stream(root: Tensor) -> bool:
    """An image that no operation needs as a whole."""
    return root.h > 1 and not root.is_vector and root.constant is None


def _row_padding(root: Tensor, hw: HardwareConfig) -> int:
    """Words to add to a row so that strips of the convolutions that read it meet few bank conflicts."""
    readers = [op for t in _family(root) for op in t.consumers if op.inputs[0] is t]
    if root.is_vector or root.home is not Home.MATRIX:
        return 0
    row = root.row_words(hw.block)
    costs = [sum(op.fetch_cycles(row + pad, hw.pixels) for op in readers) for pad in range(BANKS)]
    return costs.index(min(costs))


def _family(root: Tensor) -> list[Tensor]:
    """The tensor and those that lie in it as channel slices."""
    out, seen = [root], {root}
    for t in out:
        for op in [t.producer] if t.producer else []:
            for part in op.inputs:
                if part.parent is t and part not in seen:
                    seen.add(part)
                    out.append(part)
    return out
