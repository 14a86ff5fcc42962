"""The order of packets: loads just ahead of their first reader, stores as soon as rows are complete.

Within a stage the lead operation goes band by band (or chunk by chunk); the operation behind it follows as
soon as its rows are there. What a norm reads is made some pixels at a time.
Not here: loads of weights and parameters (`prefetch.py`), semaphores.
"""

from __future__ import annotations

from dataclasses import replace

from vla_isa.generated.codes import SetSource
from vla_isa.hardware import BEAT_BYTES, HardwareConfig
from vlac.device.reduce import ReduceOp
from vlac.emit.transfers import load_rows, store_rows
from vlac.ir.cut import Span
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Tensor
from vlac.ir.packet import Choice, Region, RelocatablePacket
from vlac.plan.data_space import DataSpace
from vlac.plan.plan import OpPlan, Plan
from vlac.plan.regions import Regions
from vlac.plan.rounds import first_round_stage

__all__ = ["schedule"]

_LOADS = 2  # times that weights could be loaded while they are used
_REGISTERS = (1, 2)  # for experts' numbers; others count the runs of a repeated model and are never read


def schedule(
    graph: Graph, plan: Plan, regions: Regions, data: DataSpace, hw: HardwareConfig
) -> list[RelocatablePacket]:
    """All packets but the loads of weights and parameters, in program order."""
    return _Scheduler(graph, plan, regions, data, hw).run()


class _Scheduler:
    def __init__(self, graph: Graph, plan: Plan, regions: Regions, data: DataSpace, hw: HardwareConfig) -> None:
        self.graph, self.plan, self.regions, self.data, self.hw = graph, plan, regions, data, hw
        self.packets: list[RelocatablePacket] = []
        self.last: list[RelocatablePacket] = []  # behind all rounds
        self.loaded: dict[tuple[int, Tensor], int] = {}
        self.stage = 0
        self.number = 0  # of the stage's first operation
        self.weight_starts = plan.weight_starts
        self.selectors: dict[Tensor, RelocatablePacket] = {}  # what is in a register: by which SET, the oldest first
        self.choices: dict[int, Choice] = {}  # the last of each owner

    def run(self) -> list[RelocatablePacket]:
        rounds = first_round_stage(self.graph, self.plan)
        for number, stage in enumerate(self.plan.stages):
            if number == rounds:
                self.selectors.clear()
                self._load_kept(number - 1)
            self.stage, start = number, len(self.packets)
            lead, *followers = stage.plans
            pending = [list(p.cut.bands) for p in followers]
            owners = self.plan.owners[self.number : self.number + len(stage.plans)]
            if not lead.op.queue:
                self._store_part(lead.op.output)
            lead_tiles: list[tuple[Span, Span, bool]] = []
            if followers and lead.cut.spans:
                self._spans(stage.plans, owners)
            elif _before_a_norm(lead, self.hw):
                self._span_by_span(lead, owners[0])
            else:
                lead_tiles = _tiles(lead, streaming=self._streams(lead))
            for band, chunk, last in lead_tiles:
                self._tile(lead, band, chunk, owners[0])
                if last:
                    self._store(lead.op.output, band)
                    for p, bands, owner in zip(followers, pending, owners[1:], strict=True):
                        while bands and p.op.input_rows(*bands[0])[1] <= band[1]:
                            ready = bands.pop(0)
                            self._tile(p, ready, p.cut.chunks[0], owner)
                            self._store(p.op.output, ready)
            self.number += len(stage.plans)
            for packet in self.packets[start:]:
                packet.stage = number
        for packet in self.last:
            packet.stage = len(self.plan.stages)
        return self.packets + self.last

    def _load_kept(self, stage: int) -> None:
        """Load what stays on chip through all rounds, as the last of what runs once."""
        self.stage, start = stage, len(self.packets)
        for item in self.regions.items:
            parts = [t for t in self.graph.inputs if t.root is item.tensor]
            for tensor in dict.fromkeys([item.tensor, *parts]) if item.tensor in self.regions.kept else ():
                if tensor in self.data.sources:
                    self._ensure(tensor, tensor.h)
        for packet in self.packets[start:]:
            packet.stage = stage

    def _region(self, tensor: Tensor) -> Region:
        if tensor in self.data.tables:
            line, lines = self.data.tables[tensor]
            return Region(line, lines, 0, tensor.w)
        if not tensor.home.on_chip:
            return self.data.region(tensor, self.hw.block)
        return self.regions.of(tensor, self.stage)

    def _streams(self, p: OpPlan) -> bool:
        return any(t.root in self.plan.streamed for t in (*p.op.inputs, p.op.output))

    def _tile(self, p: OpPlan, band: Span, chunk: Span, owner: int) -> None:
        following = p.cut.bands[min(p.cut.bands.index(band) + 1, len(p.cut.bands) - 1)]
        for index, tensor in enumerate(p.op.inputs):
            self._ensure(tensor, p.op.input_rows(*band, index)[1])
        if self.stage not in self.plan.without_prefetch:
            for index, tensor in enumerate(p.op.inputs):
                self._ensure(tensor, p.op.input_rows(*following, index)[1])
        self._put(p.op.packets(p.cut, band, chunk, self._region, self.hw), owner)

    def _put(self, packets: list[RelocatablePacket], owner: int) -> None:
        choice = self._choice(owner)
        for packet in packets:
            packet.choice = choice
            packet.owner = owner if packet.relocations else -1
            self.packets.append(packet)
            if packet.weights is not None:
                packet.weights = (self.weight_starts[owner] + packet.weights[0], packet.weights[1])

    def _choice(self, owner: int) -> Choice | None:
        """Whose weights an operation uses, where it has several experts'; a SET where no register has the number."""
        p = self.plan.plans[owner]
        item, count = p.op.choice, len(p.op.experts)
        if item is None:
            return None
        if item not in self.selectors:
            used = {s.values["register"] for s in self.selectors.values()}
            free = [r for r in _REGISTERS if r not in used]
            register = free[0] if free else self.selectors.pop(next(iter(self.selectors))).values["register"]
            values = {"register": register, "source": SetSource.ITEM, "base": self._region(item).base, "count": count}
            self.selectors[item] = RelocatablePacket("SET", values, p.op.node, "expert")
            self.packets.append(self.selectors[item])
        selector, known = self.selectors[item], self.choices.get(owner)
        if known is None or known.selector is not selector:
            assert p.cut.weights is not None
            self.choices[owner] = Choice(selector, count, p.cut.weights.total, p.cut.params.size)
        return self.choices[owner]

    def _spans(self, plans: list[OpPlan], owners: list[int]) -> None:
        """Operations of one row, span by span: each does its pixels as soon as those of the one before are there."""
        made = []
        for p in plans:
            for tensor in p.op.inputs:
                self._ensure(tensor, tensor.h)
            made.append(p.op.packets(p.cut, p.cut.bands[0], p.cut.chunks[0], self._region, self.hw))
        for parts in zip(*made, strict=True):
            for packet, owner in zip(parts, owners, strict=True):
                self._put([packet], owner)
        for p in plans:
            self._store(p.op.output, (0, p.op.output.h))

    def _span_by_span(self, p: OpPlan, owner: int) -> None:
        """All channels of some pixels, then those of the next: a norm of the first runs beside the second."""
        for span in p.cut.spans:
            some = OpPlan(p.op, replace(p.cut, spans=[span]))
            for band, chunk, _ in _tiles(some, streaming=False):
                self._tile(some, band, chunk, owner)
        self._store(p.op.output, (0, p.op.output.h))

    def _ensure(self, tensor: Tensor, rows: int) -> None:
        """Load rows of an input, a constant or a streamed tensor up to `rows`, where not yet on chip."""
        if tensor.home is Home.DATA:
            return
        for op in tensor.consumers:  # a vector that the host packs as an image is loaded as one
            if op.view_of is tensor and tensor not in self.data.sources and op.output in self.data.sources:
                tensor, rows = op.output, op.output.h
        viewed = tensor.producer.view_of if tensor.producer is not None else None
        if viewed is not None and viewed in self.graph.inputs and tensor not in self.data.sources:
            tensor, rows = viewed, viewed.h  # a view of a model input is loaded as the input, whole
        source = self.data.sources.get(tensor)
        if source is None:
            if tensor.producer is not None and not tensor.producer.queue:
                for part in tensor.producer.inputs:
                    self._ensure(part, part.h)
            return
        streamed = tensor.root in self.plan.streamed
        key = (self.stage if streamed else -1, tensor)
        done = self.loaded.get(key, 0)
        if streamed and key not in self.loaded:
            done = max(0, self._first_row(tensor))
        if rows > done:
            self.packets.append(load_rows(source, self._region(tensor), (done, rows), tensor.label))
            self.loaded[key] = rows

    def _first_row(self, tensor: Tensor) -> int:
        """The first row of a streamed tensor that this stage reads."""
        op = self.plan.stages[self.stage].plans[0].op
        return op.input_rows(0, 1, op.inputs.index(tensor))[0]

    def _store(self, tensor: Tensor, rows: Span) -> None:
        for target in self.data.stores.get(tensor, []) if tensor.home.on_chip else []:
            packets = self.last if tensor.root in self.regions.kept else self.packets
            packets.append(store_rows(self._region(tensor), target, rows, tensor.label))

    def _store_part(self, tensor: Tensor) -> None:
        """Store a concat that is an output, once its parts are there (streamed ones were stored in parts)."""
        if tensor.root not in self.plan.streamed and tensor in self.data.stores and tensor.home.on_chip:
            self._ensure(tensor, tensor.h)
            self._store(tensor, (0, tensor.h))


def _before_a_norm(p: OpPlan, hw: HardwareConfig) -> bool:
    """Whether a norm reads it, and loading its weights for each span of pixels takes much less time than using them."""
    if p.cut.weights is None or len(p.cut.spans) < 2 or len(p.cut.chunks) < 2:
        return False
    strips = -(-p.op.output.w // hw.pixels)
    word = hw.weight_word_bytes / (BEAT_BYTES * hw.weight_masters)
    loaded = _LOADS * len(p.cut.spans) * word <= strips
    return loaded and any(isinstance(op, ReduceOp) for op in p.op.output.consumers)


def _tiles(p: OpPlan, *, streaming: bool) -> list[tuple[Span, Span, bool]]:
    """(band, chunk, whether the band's rows are then complete) of an operation.

    Streamed operations go band by band; others chunk by chunk, so that each weight is loaded once.
    """
    if not p.op.queue:
        return []
    last_chunk = p.cut.chunks[-1]
    if streaming:
        return [(b, c, c == last_chunk) for b in p.cut.bands for c in p.cut.chunks]
    return [(b, c, c == last_chunk) for c in p.cut.chunks for b in p.cut.bands]
