"""POOL: the maximum or average of windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import PoolCount, PoolMode, Rounding
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vla_isa.numerics import average
from vlac.device.channel_slice import ChannelSlice
from vlac.device.params import record_parameter
from vlac.device.tables import narrow
from vlac.ir.cut import Cut, Parameter, Span
from vlac.ir.geometry import window_rows
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, operand_fields, size_fields
from vlac.ir.records import PoolPiece

__all__ = ["PoolOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class PoolOp(Op):
    """Max or average pool. pads are top, left; `records` (mult, shift) of the averages.

        max:     out[y, x, c] = max over the window of in[.., .., c]
        average: out[y, x, c] = requantize(sum over the window of (in[.., .., c] - in_zero), record)

    Taps outside the input do not count. `count` "fixed" uses a piece's record, "valid" the record of n taps inside
    the input, n - 1 after it.
    """

    mode: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]
    pieces: list[PoolPiece]
    count: str
    records: tuple[I64, I64]
    zero_point: int
    lo: int = INT8.lo
    hi: int = INT8.hi
    rounding: int = Rounding.NEAREST_EVEN

    queue = "vec"
    is_early = True  # it runs beside the next convolutions

    @property
    def detail(self) -> str:
        """Kernel and strides."""
        return f" kernel {self.kernel[0]}x{self.kernel[1]} stride {self.strides[0]}x{self.strides[1]}"

    @property
    def is_average(self) -> bool:
        """Averages of a few integers are."""
        return self.mode == "average"

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        out = np.zeros((self.output.h, self.output.w, self.output.c), np.int64)
        centred = inputs[0] - self.inputs[0].zero_point
        for piece in self.pieces:
            place = slice(piece.y0, piece.y1), slice(piece.x0, piece.x1)
            if self.mode == "max":
                out[place] = self._windows(inputs[0], piece, INT8.lo).max(axis=2)
                continue
            total = self._windows(centred, piece, 0).sum(axis=2)
            record = np.full(total.shape[:2], piece.record)
            if self.count == "valid":
                taps = self._windows(np.ones_like(centred[:, :, :1]), piece, 0).sum(axis=2)[:, :, 0]
                record += np.maximum(taps - 1, 0)
            mult, shift = (r[record][:, :, None] for r in self.records)
            out[place] = average(total, mult, shift, self.rounding, self.zero_point, self.lo, self.hi)
        return out

    def _windows(self, x: I64, piece: PoolPiece, outside: int) -> I64:
        """The windows of a piece, int64 [rows, pixels, taps, C], taps outside the input as `outside`."""
        (kh, kw), (sh, sw), (top, left) = piece.kernel, self.strides, self.pads
        ys = (np.arange(piece.y0, piece.y1) * sh - top)[:, None, None, None] + np.arange(kh)[:, None]
        xs = (np.arange(piece.x0, piece.x1) * sw - left)[:, None, None] + np.arange(kw)
        ys, xs = np.broadcast_arrays(ys, xs)  # [rows, pixels, kh, kw]
        inside = (ys >= 0) & (ys < x.shape[0]) & (xs >= 0) & (xs < x.shape[1])
        taken = x[np.where(inside, ys, 0), np.where(inside, xs, 0)]
        found = np.where(inside[..., None], taken, outside)
        return found.reshape(*found.shape[:2], kh * kw, -1)

    def verify(self) -> None:
        """Pieces that cover the output once, records for all of them, and bounds."""
        x, out = self.inputs[0], self.output
        self.require(x.c == out.c, f"it reads {x.c} channels and writes {out.c}")
        covered = np.zeros((out.h, out.w), np.int64)
        for p in self.pieces:
            covered[p.y0 : p.y1, p.x0 : p.x1] += 1
        self.require(bool((covered == 1).all()), "its pieces do not cover the output once")
        self.require(INT8.holds([self.zero_point, self.lo, self.hi]), "zero point or clamp is no int8")
        if self.mode == "max":
            self.require(x.same_scale(out), "a maximum keeps its scale")
            return
        mult, shift = self.records
        self.require(len(mult) == len(shift) > max(p.record for p in self.pieces), "a piece has no record")

    def multipliers(self) -> I64:
        """Those of the records; a maximum has none."""
        return self.records[0] if self.mode == "average" else super().multipliers()

    def round_by(self, rounding: int) -> None:
        """Of the averages."""
        self.rounding = rounding

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """Only a clamp, behind an average: POOL writes a maximum as it is."""
        return self.mode == "average" and narrow(self, table)

    # --- where its operands lie -----------------------------------------------------------------------

    def place(self, placer: Placer) -> None:
        """The input's order."""
        self.output.channel_map = self.inputs[0].known_map()

    # --- how it is cut, what it loads, its packets ----------------------------------------------------

    def input_rows(self, y0: int, y1: int, index: int = 0) -> Span:
        """Rows under the windows, without padding."""
        return window_rows(self.inputs[0].h, y0, y1, self.strides[0], self.kernel[0], self.pads[0])

    def sees_input(self, y: int) -> bool:
        """Whether the window begins in front of the input's end."""
        return y * self.strides[0] - self.pads[0] < self.inputs[0].h

    def joins(self, leader: Op) -> bool:
        """Behind a convolution, where the bands are worth it."""
        return leader.leads and leader.output is self.inputs[0] and self.output.h >= 4

    def most_blocks(self, hw: HardwareConfig) -> int:
        """All, unless one output row needs half the scratchpad."""
        x = self.inputs[0]
        first, last = zip(*(self.input_rows(y, y + 1) for y in range(self.output.h)), strict=True)
        words = int(max(np.subtract(last, first))) * x.w * x.stored.planes
        blocks = x.blocks(hw.block)
        return blocks if words * blocks <= hw.act_words // 2 else max(1, hw.act_words // 4 // words)

    def split(self, first: int, out: Tensor, block: int) -> list[Op]:
        """The pool of some channel blocks of the input, which are read where they lie."""
        part = ChannelSlice.of(self.node, self.inputs[0], first, first + out.blocks(block), block)
        return [part, replace(self, inputs=[part.output], output=out)]

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """Records one after another where they are counted, else each in a word of its own."""
        if self.mode == "max":
            return []
        mult, shift = self.records
        if self.count == "valid":
            return [record_parameter(mult, shift, hw)]
        return [record_parameter(m, s, hw) for m, s in zip(mult, shift, strict=True)]

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each piece that the band meets."""
        inside = ((p, max(band[0], p.y0), min(band[1], p.y1)) for p in self.pieces)
        return [self._packet(cut, p, (y0, y1), region, hw) for p, y0, y1 in inside if y0 < y1]

    def _packet(
        self, cut: Cut, piece: PoolPiece, rows: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> RelocatablePacket:
        y0, y1 = rows
        x, out = self.inputs[0], self.output
        a, b = self.input_rows(y0, y1)
        left = piece.x0 * self.strides[1] - self.pads[1]
        first, blocks = max(left, 0), x.blocks(hw.block)
        values = {
            **operand_fields("in", region(x), a),
            **size_fields("in", b - a, x.w - first, blocks),
            "in_zero": x.zero_point,
            "channels": blocks * hw.block,
            "mode": PoolMode[self.mode.upper()],
            "count": PoolCount[self.count.upper()],
            "kernel_h": piece.kernel[0],
            "kernel_w": piece.kernel[1],
            "stride_h": self.strides[0],
            "stride_w": self.strides[1],
            "pad_top": self.pads[0] + a - y0 * self.strides[0],
            "pad_left": first - left,
            **operand_fields("out", region(out), y0),
            "out_h": y1 - y0,
            "out_w": piece.x1 - piece.x0,
            "rounding": self.rounding,
            "out_zero": self.zero_point,
            "lo": self.lo,
            "hi": self.hi,
        }
        values["in_base"] += first
        values["out_base"] += piece.x0
        relocations = {"param_base": cut.params.records[piece.record]} if self.mode == "average" else {}
        return RelocatablePacket("POOL", values, self.node, self.op_type, relocations=relocations)
