"""COPY inside activation memory: grids of words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.copy_packets import before, fill_fields, piece_fields
from vlac.device.copy_parts import Parts, found, numbered, padding, wanted
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket
from vlac.ir.records import Piece, Run

__all__ = ["CopyOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class CopyOp(Op):
    """Words moved piece by piece, after filling the output with `fill` where it is not None.

        out = fill
        for each piece: out[rows.out, pixels.out, out_parts[target]] = in[source][rows.in, pixels.in, its part]

    Attributes:
        in_parts: channels of each part of each input, in order; every part starts on a channel block. None:
            one part, all channels as they lie.
        out_parts: the output's channels by part, each on a new channel block.
        parts: where they lie, once it is placed.
    """

    in_parts: list[list[I64] | None]
    out_parts: list[I64]
    pieces: list[Piece]
    fill: int | None
    parts: Parts = field(default_factory=Parts)
    is_whole: bool = False  # no padding of the output is a channel of an input; known when it is placed

    queue = "load"  # moves into activation memory belong there

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        out = np.full((self.output.h, self.output.w, self.output.c), self.fill or 0, np.int64)
        for p in self.pieces:
            (to_y, from_y), (to_x, from_x) = _positions(p.rows), _positions(p.pixels)
            read = inputs[p.source][np.ix_(from_y, from_x, self._channels(p))]
            out[np.ix_(to_y, to_x, self.out_parts[p.target])] = read
        return out

    def _channels(self, piece: Piece) -> I64:
        parts = self.in_parts[piece.source]
        return np.arange(self.inputs[piece.source].c) if parts is None else parts[piece.part]

    def takes_wide(self, tensor: Tensor) -> bool:
        """Whole words; a fill is a byte."""
        return self.fill in (None, 0)

    def verify(self) -> None:
        """Every value made, by pieces that fit."""
        out = self.output
        made = np.full((out.h, out.w, out.c), self.fill is not None)
        for p in self.pieces:
            (to_y, from_y), (to_x, from_x), x = _positions(p.rows), _positions(p.pixels), self.inputs[p.source]
            self.require(bool((from_y < x.h).all() and (from_x < x.w).all()), f"it reads behind the end of '{x.label}'")
            self.require(
                len(self._channels(p)) == len(self.out_parts[p.target]), "a piece has not the channels it fills"
            )
            made[np.ix_(to_y, to_x, self.out_parts[p.target])] = True
        self.require(bool(made.all()), "it leaves values open")

    # --- where its operands lie -----------------------------------------------------------------------

    def preset(self, placer: Placer) -> None:
        """Let a layer that only this copy reads write its channels in the order the copy needs."""
        for x, parts in zip(self.inputs, self.in_parts, strict=True):
            free = x.producer is not None and x.producer.writes_any_order
            lone = len(x.consumers) == 1 and x.parent is None and x.channel_map is None and not placer.is_output(x)
            if (
                parts is not None
                and free
                and lone
                and found(padded_map(x.c, placer.block), parts, placer.block) is None
            ):
                x.channel_map = wanted(parts, placer.block)[0]

    @property
    def pads_zero(self) -> bool:
        """Where all inputs do, and have no channels there either."""
        return self.fill in (None, 0) and self.is_whole and all(t.pads_zero for t in self.inputs)

    def place(self, placer: Placer) -> None:
        """Find the parts in the inputs' channel maps, reordering inputs where they do not lie so; set the output's."""
        block, here = placer.block, self.parts
        maps: list[list[I64]] = []  # of each part of each input: positions in it, -1 for padding
        for number, parts in enumerate(self.in_parts):
            if parts is None:
                placer.read_as(self, number, self.inputs[0].known_map())
                maps.append([self.inputs[0].known_map()])
                here.in_starts.append([0])
                continue
            starts = found(self.inputs[number].known_map(), parts, block)
            if starts is None:
                channel_map, starts = wanted(parts, block)
                placer.read_as(self, number, channel_map)
            maps.append([padded_map(len(p), block) for p in parts])
            here.in_starts.append(starts)
        ends = [padding(t.known_map(), p, s, block) for t, p, s in self._starts()]
        self.is_whole = all(bool((end < 0).all()) for end in ends)
        placed: list[I64] = []
        for target, channels in enumerate(self.out_parts):
            feeding = [maps[p.source][p.part] for p in self.pieces if p.target == target]
            part = feeding[0] if feeding else padded_map(len(channels), block)
            placed.append(numbered(channels, part))
            here.out_starts.append(sum(here.out_blocks))
            here.out_blocks.append(len(part) // block)
        self.output.channel_map = np.concatenate(placed)

    def _starts(self) -> list[tuple[Tensor, I64, int]]:
        """Each part of the inputs that are not copied as they lie, and its first channel block."""
        found = zip(self.inputs, self.in_parts, self.parts.in_starts, strict=True)
        return [(t, p, s) for t, parts, starts in found for p, s in zip(parts or (), starts, strict=False)]

    # --- how it is cut, its packets -------------------------------------------------------------------

    def input_rows(self, y0: int, y1: int, index: int = 0) -> Span:
        """From the first row that output row y0 or a later one needs, to the last that one before y1 needs."""
        first, end = self.inputs[index].h, 0
        for p in self.pieces:
            if p.source == index:
                r = p.rows
                done, seen = before(r, y0), before(r, y1)
                for i in (done, r.count - 1):
                    first = min(first, r.in0 + i * r.in_step) if done < r.count else first
                for i in (0, seen - 1):
                    end = max(end, r.in0 + i * r.in_step + 1) if seen else end
        return min(first, end), end

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """The fill, then the pieces one after another."""
        target = region(self.output)
        values = [] if self.fill is None else [fill_fields(self.parts, self.fill, self.output.w, band, target)]
        for piece in self.pieces:
            x = self.inputs[piece.source]
            values += piece_fields(self.parts, piece, band, target, region(x), (self.output.h, x.h))
        return [RelocatablePacket("COPY", v, self.node, self.op_type) for v in values]


def _positions(run: Run) -> tuple[I64, I64]:
    """Positions in the output and in the input."""
    steps = np.arange(run.count)
    return run.out0 + steps * run.out_step, run.in0 + steps * run.in_step
