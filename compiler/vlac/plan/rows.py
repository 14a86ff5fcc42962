"""Sequences in bands of pixels: what does not fit on chip whole is computed some rows of a sequence at a time.

Every operation that makes each pixel of its own becomes one for each band; keys and values, which each band needs all
of, come together in weights, or in the data space where there are too many. What needs a whole tensor starts a new
*phase*; inside a phase a band goes through all of its operations. What a later phase reads stays on chip or, with
`spill`, lies in the data space in between.
Not here: how many rows (`banded.py`), in which order operations run (`order.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vlac.device.bands import JoinOp, LoadRows, LoadWeights, PixelSlice, StoreRows, StoreWeights
from vlac.device.concat import ConcatOp
from vlac.device.copy import CopyOp
from vlac.device.to_weights import ToWeightsOp, TransposeOp
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Span
from vlac.ir.graph import GraphOutput
from vlac.ir.operation import Home, Op, Tensor
from vlac.plan.rows_in_place import joined_rows
from vlac.plan.sequences import Sequences, chooses

__all__ = ["Banded", "cut_rows"]


@dataclass
class Banded:
    """Operations in bands: of each phase those of whole tensors, then those of each band, in a legal order."""

    instances: list[list[Op]]
    inputs: list[Tensor]  # which lie in the data space and are loaded band by band
    outputs: list[GraphOutput]


def cut_rows(sequences: Sequences, outputs: Sequence[GraphOutput]) -> Banded:
    """Operations in bands; those that are given stay as they are.

    Args:
        sequences: what is cut.
        outputs: of the graph.
    """
    return _Cutter(sequences).run(outputs)


@dataclass
class _Cutter:
    """Builds the operations, phase by phase; `memo` holds what several of them read."""

    sequences: Sequences
    built: dict[tuple[int, int], list[Op]] = field(default_factory=dict)  # by phase and band, -1 for whole tensors
    memo: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    def run(self, outputs: Sequence[GraphOutput]) -> Banded:
        known, inputs = self.sequences, self.sequences.inputs
        last = max(known.phases.values(), default=0)
        for phase in range(last + 1):
            here = [op for op in known.ops if known.phases[op] == phase]
            for op in here:
                if op.output in known.gathered:
                    self._gather(op, phase)
                elif not known.is_cut(op):
                    for t in op.inputs:
                        self._join(t, phase)
                    self._put(self._of_whole(op, phase), phase, -1)
            counts = {op: len(known.spans(known.width(op))) for op in here if known.is_cut(op)}
            for band in range(max(counts.values(), default=0)):
                for op, count in counts.items():
                    if band < count:
                        self._cut(op, phase, band)
        made = [self._output(out, last + 1, inputs) for out in outputs]
        self._concats(last + 1)
        instances = [self.built[key] for key in sorted(self.built)]
        return Banded(instances, [t for t in inputs if t in known.loaded], made)

    # --- operations of a band -------------------------------------------------------------------------

    def _put(self, op: Op, phase: int, band: int) -> None:
        self.built.setdefault((phase, band), []).append(op)

    def _part(self, t: Tensor, span: Span, what: str = "") -> Tensor:
        """Some pixels of a tensor, not yet anywhere."""
        a, b = span
        shape = (b - a, t.c) if t.home is Home.ITEMS else (1, b - a, t.c)
        out = t.like(f"{t.name}:rows{a}{what}", label=f"{t.label}:rows{a}{what}", shape=shape)
        out.home, out.with_items, out.groups, out.channel_map = t.home, t.with_items, t.groups, t.channel_map
        return out

    def _made(self, t: Tensor, band: int) -> Tensor:
        """The part of a banded tensor that its maker writes."""
        key = ("made", t, band)
        if key not in self.memo:
            span = self.sequences.spans(t.w)[band]
            out = self.memo[key] = self._part(t, span)
            if t.parent is not None:
                out.parent, out.offset = self._made(t.parent, band), t.offset
            elif t in self.sequences.joined:
                out.parent, out.pixel = t, span[0]
        return self.memo[key]

    def _cut(self, op: Op, phase: int, band: int) -> None:
        if chooses(op) or isinstance(op, TransposeOp):
            return  # made where they are read
        if isinstance(op, ToWeightsOp):
            self._to_weights(op, phase, band)
            return
        first = self.sequences.spans(op.output.w)[band][0]
        inputs = [self._read(t, op, phase, band) for t in op.inputs]
        self._put(op.of_pixels(first, inputs, self._made(op.output, band)), phase, band)

    def _read(self, t: Tensor, op: Op, phase: int, band: int) -> Tensor:
        """An input of a band's operation."""
        if t.home is Home.WEIGHTS:
            return self._weights(t, phase, band)
        if t.w != self.sequences.width(op) or t.home is Home.TABLE:
            return t
        return self._pixels(t, phase, band)

    def _pixels(self, t: Tensor, phase: int, band: int) -> Tensor:
        """A band of a tensor for a phase."""
        if chooses(self.sequences.maker.get(t)) and self.sequences.is_banded(t):
            return self._sliced(self.sequences.maker[t], phase, band)
        home = self.sequences.phases[self.sequences.maker[t]] if t in self.sequences.maker else phase
        if t.root in self.sequences.banded and (
            phase == home or not self.sequences.spill or t.home is Home.ITEMS or t.root in self.sequences.joined
        ):
            return self._made(t, band)
        span = self.sequences.spans(t.w)[band]
        key = ("read", t, band, phase if self.sequences.spill else -1)
        if key not in self.memo:
            out = self.memo[key] = self._part(t, span, f":phase{phase}")
            if t.constant is not None:
                out.constant = t.to_hwc(t.constant)[:, span[0] : span[1]]
            elif t in self.sequences.loaded:
                out.home = Home.MATRIX
                source = self._home(t) if t in self.sequences.gathered else t
                self._put(LoadRows(t.label, "Load", [source], out, span[0]), phase, band)
            elif t.root in self.sequences.banded:
                self._put(LoadRows(t.label, "Load", [self._stored(t, band)], out), phase, band)
            else:
                out.parent, out.pixel = t, span[0]
                self._put(PixelSlice(t.label, "Slice", [t], out), phase, band)
        return self.memo[key]

    def _sliced(self, op: Op, phase: int, band: int) -> Tensor:
        """Some channels of a band."""
        whole, t = op.inputs[0], op.output
        source = self._pixels(whole, phase, band)
        key = ("slice", t, source)
        if key not in self.memo:
            out = self.memo[key] = self._part(t, self.sequences.spans(t.w)[band], f":phase{phase}")
            out.parent, out.offset = source, t.offset
            self._put(op.of_pixels(0, [source], out), phase, band)
        return self.memo[key]

    # --- the data space -------------------------------------------------------------------------------

    def _stored(self, t: Tensor, band: int, whole: Tensor | None = None, first: int = 0) -> Tensor:
        """The band of a banded tensor in the data space: in its own place there, or in `whole` from `first` on."""
        key = ("stored", t, band, whole)
        if key not in self.memo:
            span = self.sequences.spans(t.w)[band]
            out = self.memo[key] = self._part(t, span, ":stored" if whole is None else f":in:{whole.name}")
            out.home, out.with_items = Home.DATA, False
            out.parent, out.pixel = (self._home(t) if whole is None else whole), first + span[0]
            source = t
            while chooses(self.sequences.maker.get(source)):
                source = self.sequences.maker[source].inputs[0]
            phase = self.sequences.phases[self.sequences.maker[source]] if source in self.sequences.maker else 0
            op = StoreRows(t.label, "Store", [self._pixels(t, phase, band)], out)
            here = self.built[phase, band]
            here.insert(1 + max(i for i, o in enumerate(here) if o.output is op.inputs[0]), op)
        return self.memo[key]

    def _gather(self, op: Op, phase: int) -> None:
        """Rows that are joined in the data space, where their makers' bands are stored; no instruction of its own."""
        assert isinstance(op, CopyOp)
        whole, parts = self._home(op.output), []
        for first, t in joined_rows(op) or ():
            if t.root in self.sequences.banded:
                parts += [self._stored(t, band, whole, first) for band in range(len(self.sequences.spans(t.w)))]
                continue
            part = self._part(t, (0, t.w), f":in:{whole.name}")
            part.home, part.with_items, part.parent, part.pixel = Home.DATA, False, whole, first
            self._put(StoreRows(t.label, "Store", [t], part), phase, -1)
            parts.append(part)
        self._put(JoinOp(op.node, op.op_type, parts, whole), phase, -1)

    def _home(self, t: Tensor) -> Tensor:
        """The whole of a banded tensor in the data space."""
        key = ("home", t)
        if key not in self.memo:
            out = self.memo[key] = t.like(f"{t.name}:stored" if t in self.sequences.joined else t.name)
            out.home, out.channel_map = Home.DATA, t.channel_map
        return self.memo[key]

    def _output(self, out: GraphOutput, phase: int, inputs: Sequence[Tensor]) -> GraphOutput:
        t = out.tensor
        if t in self.sequences.gathered:
            return GraphOutput(out.name, out.shape, self._home(t), out.moved, out.layout, out.source, out.debug)
        if t in inputs or not self.sequences.is_banded(t) or t.root in self.sequences.joined:
            self._join(t, phase)
            return out
        self.memo["output", t] = self._kept(t, phase)
        return GraphOutput(out.name, out.shape, self._home(t), out.moved, out.layout, out.source, out.debug)

    def _concats(self, phase: int) -> None:
        """What of parts that are all returned is whole too, for those who compare it: no instruction."""
        returned = {key[1] for key in self.memo if key[0] == "output"}
        for op in self.sequences.ops:
            if isinstance(op, ConcatOp) and self.sequences.is_cut(op) and returned.issuperset(op.inputs):
                parts = [self.memo["output", t] for t in op.inputs]
                whole = op.output.like(op.output.name)
                whole.home, whole.channel_map = Home.DATA, op.output.channel_map
                self._put(ConcatOp(op.node, op.op_type, parts, whole, op.order), phase, -1)

    # --- whole tensors --------------------------------------------------------------------------------

    def _of_whole(self, op: Op, phase: int) -> Op:
        """An operation of whole tensors with weights that are made of bands, and tensors that are loaded for it."""
        inputs = [self._whole(t, phase) for t in op.inputs]
        return op if inputs == op.inputs else op.of_pixels(0, inputs, op.output)

    def _whole(self, t: Tensor, phase: int) -> Tensor:
        if t.home is Home.WEIGHTS:
            return self._weights(t, phase, -1)
        return self._reloaded(t, phase) if t in self.sequences.reloaded else t

    def _reloaded(self, t: Tensor, phase: int) -> Tensor:
        """The whole of a tensor that lies in the data space, for a phase."""
        key = ("reloaded", t, phase)
        if key not in self.memo:
            out = self.memo[key] = self._part(t, (0, t.w), f":phase{phase}:whole")
            self._put(LoadRows(t.label, "Load", [self._kept(t, phase)], out), phase, -1)
        return self.memo[key]

    def _kept(self, t: Tensor, phase: int) -> Tensor:
        """Bands of a tensor, one behind another in the data space."""
        if ("kept", t) not in self.memo:
            parts = [self._stored(t, band) for band in range(len(self.sequences.spans(t.w)))]
            self.memo["kept", t] = self._home(t)
            self._put(JoinOp(t.label, "Concat", parts, self._home(t)), phase, -1)
        return self.memo["kept", t]

    def _join(self, t: Tensor, phase: int) -> None:
        """Let a banded tensor be whole on chip."""
        if t.root in self.sequences.joined and ("joined", t.root) not in self.memo:
            root = self.memo["joined", t.root] = t.root
            parts = [self._made(root, band) for band in range(len(self.sequences.spans(root.w)))]
            self._put(JoinOp(root.label, "Concat", parts, root), phase, -1)

    def _to_weights(self, op: Op, phase: int, band: int) -> None:
        """Some keys of weights."""
        x, target = op.inputs[0], op.output
        source, turned = self.sequences.source(op), x is not self.sequences.source(op)
        span = self.sequences.spans(source.w)[band]
        part = self._pixels(source, phase, band)
        if turned:
            made = self.sequences.maker[x]
            out = x.like(f"{x.name}:rows{span[0]}", label=f"{x.label}:rows{span[0]}", shape=(1, x.w, span[1] - span[0]))
            out.channel_map = padded_map(out.c, self.sequences.hw.block)
            self._put(TransposeOp(made.node, made.op_type, [part], out), phase, band)
            part = out
        words = target.like(f"{target.name}:rows{span[0]}", label=f"{target.label}:rows{span[0]}", shape=part.shape)
        words.channel_map, words.parent = part.channel_map, self._whole_weights(target)
        words.home = words.parent.home
        if turned:
            words.offset = span[0] // self.sequences.hw.block
        else:
            words.pixel = span[0]
        kind = StoreWeights if target in self.sequences.spilled else ToWeightsOp
        self._put(kind(op.node, op.op_type, [part], words), phase, band)
        self.memo["words", target, band] = words

    def _whole_weights(self, t: Tensor) -> Tensor:
        key = ("weights", t)
        if key not in self.memo:
            if t not in self.sequences.spilled:
                self.memo[key] = t
            else:
                out = self.memo[key] = t.like(f"{t.name}:stored")
                out.home, out.channel_map = Home.SPILLED, t.channel_map
        return self.memo[key]

    def _weights(self, t: Tensor, phase: int, band: int) -> Tensor:
        """All keys as a phase needs them."""
        made = self.sequences.maker[t]
        if not self.sequences.is_cut(made):
            return t
        whole = self._whole_weights(t)
        if ("joined", t) not in self.memo:
            self.memo["joined", t] = whole
            source = self.sequences.source(made)
            parts = [self.memo["words", t, b] for b in range(len(self.sequences.spans(source.w)))]
            axis = 1 if source is made.inputs[0] else 2
            self._put(JoinOp(made.node, "Concat", parts, whole, axis), phase, -1)
        if t not in self.sequences.spilled:
            return t
        key = ("loaded", t, phase, band)
        if key not in self.memo:
            out = self.memo[key] = t.like(f"{t.name}:phase{phase}:rows{band}")
            out.home, out.channel_map = Home.WEIGHTS, t.channel_map
            self._put(LoadWeights(made.node, "Load", [whole], out), phase, band)
        return self.memo[key]
