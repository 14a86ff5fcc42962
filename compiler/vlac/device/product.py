"""GEMM of two computed tensors: logits with the maximum of each row, and values mixed by the exponents of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import OperandKind, Rounding, ScaleBy
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.device.params import record_parameter
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Parameter, Span
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, matrix_fields

__all__ = ["LogitsOp", "MixOp"]

I64 = NDArray[np.int64]
_MOST_QUERIES = 1024


@dataclass(eq=False)
class _ProductOp(Op):
    """A product with computed weights; of several `heads` that share them, one head's pixels after another's.

    Heads lie beside each other in the channels of what has `w` pixels: queries, and mixed values.
    """

    heads: int = field(default=1, kw_only=True)

    queue = "mac"
    in_bands = False

    @property
    def by_pixels(self) -> bool:  # type: ignore[override]
        """Of one head."""
        return self.heads == 1

    def _check(self, beside: Tensor, stacked: Tensor, planes: int = 1) -> None:
        """Sizes, of what has heads in channels and what has them in pixels; byte planes of the input."""
        x, weights, out = self.inputs[0], self.inputs[1], self.output
        plain = x.h == 1 and x.planes == planes and x.zero_point == 0
        self.require(plain, "its input is no matrix around 0 of its type")
        self.require(weights.home is Home.WEIGHTS and weights.zero_point == 0, "its second operand is not in weights")
        split = 1 if x is stacked else self.heads
        sizes = (weights.c * split, weights.w * (self.heads // split)) == (x.c, out.c)
        self.require(sizes and stacked.w == beside.w * self.heads, "its operands are of other sizes")

    def _fields(
        self, beside: Tensor, stacked: Tensor, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> dict[str, int]:
        x, weights, out = self.inputs[0], self.inputs[1], self.output
        blocks = beside.blocks(hw.block) // self.heads
        steps = {beside: blocks * region(beside).planes * region(beside).pitch, stacked: beside.w}
        rows = {"in_row_stride": steps[x], "out_row_stride": steps[out]} if self.heads > 1 else {}
        return {
            "batch": 1,
            "h": self.heads,
            "m": beside.w,
            "k_blocks": blocks if x is beside else x.blocks(hw.block),
            "n_blocks": blocks if out is beside else out.blocks(hw.block),
            **matrix_fields("in", region(x), wide=False),
            **matrix_fields("out", region(out)),
            **rows,
            "weight_base": region(weights).base,
        }


def _heads_stacked(x: I64, heads: int) -> I64:
    """[1, w, heads * c] as [1, heads * w, c]."""
    _, w, c = x.shape
    return x.reshape(1, w, heads, c // heads).transpose(0, 2, 1, 3).reshape(1, heads * w, c // heads)


@dataclass(eq=False)
class LogitsOp(_ProductOp):
    """out[m, n] = x[m] . weights[n] * mult * 2^-shift + mask[m, n], int16 with the maxima of its rows.

    Inputs: x [M, d], weights of N keys, perhaps a mask int16 [M, N] or [1, N] in the unit of the logits. Columns from
    limit + limit_step * m on, or from limits[m] on, are masked, and those where the mask is -32768. Of several heads x
    is [M, heads * d] and out [heads * M, N].
    """

    mult: int
    shift: int
    limit: int
    limit_step: int = 0
    limits: tuple[int, ...] = ()  # of each pixel, where one step does not say them
    rounding: int = Rounding.NEAREST_EVEN

    reads_any_order = True

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        acc = _heads_stacked(inputs[0], self.heads) @ inputs[1][0].T
        pixels, columns = np.arange(acc.shape[1])[:, None] % inputs[0].shape[1], np.arange(acc.shape[2])
        limits = np.array(self.limits)[pixels] if self.limits else self.limit + self.limit_step * pixels
        valid = columns < limits
        mask = inputs[2] if len(inputs) > 2 else np.zeros((1, 1, 1), np.int64)
        mask = np.tile(mask, (1, self.heads, 1)) if mask.shape[1] > 1 else mask
        return numerics.masked_logits(acc, 0, self.mult, self.shift, self.rounding, mask, valid)

    def takes_wide(self, tensor: Tensor) -> bool:
        """Output and mask."""
        return tensor not in self.inputs[:2]

    def verify(self) -> None:
        """Sizes."""
        x, out = self.inputs[0], self.output
        self._check(x, out)
        self.require(out.planes == 2 and out.with_items, "its output is not int16 with maxima")
        for t in self.inputs[2:]:
            self.require(t.planes == 2 and t.c == out.c and t.w in (1, x.w), f"'{t.label}' is no mask of its size")

    def most_pixels(self, hw: HardwareConfig) -> int:
        """As many maxima as the array keeps."""
        return _MOST_QUERIES

    def of_pixels(self, first: int, inputs: list[Tensor], output: Tensor) -> LogitsOp:
        """Where keys are masked by position, those of the first pixel."""
        limit, limits = self.limit + self.limit_step * first, self.limits[first : first + output.w]
        return replace(self, inputs=inputs, output=output, whole=self.whole or self, limit=limit, limits=limits)

    def multipliers(self) -> I64:
        """One."""
        return np.array([self.mult])

    def round_by(self, rounding: int) -> None:
        """Of the logits."""
        self.rounding = rounding

    def preset(self, placer: Placer) -> None:
        """A mask from the host has its keys in order."""
        for t in self.inputs[2:]:
            if placer.is_input(t):
                t.channel_map = padded_map(t.c, placer.block)

    def place(self, placer: Placer) -> None:
        """Keys in order. Of the channels of queries and keys one side must be 0 where the map has none."""
        if self.inputs[0].channel_map is None:  # constant queries
            self.inputs[0].channel_map = self.inputs[1].known_map()
        placer.read_as(self, 0, self.inputs[1].known_map())
        if not self.inputs[1].pads_zero:
            placer.zero_padded(self, 0)
        self.output.channel_map = padded_map(self.output.c, placer.block)
        for number, t in enumerate(self.inputs[2:], 2):
            if t.channel_map is None:
                t.channel_map = self.output.channel_map
            placer.read_as(self, number, self.output.channel_map)

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """One record."""
        return [record_parameter(np.array([self.mult]), np.array([self.shift]), hw)]

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One, or two where a limit that grows passes the last key: what lies behind it counts in no maximum.

        Where pixels have limits of their own, one for each run of pixels with one limit.
        """
        x, out = self.inputs[0], self.output
        if self.limits:
            starts = [0, *(i for i in range(1, x.w) if self.limits[i] != self.limits[i - 1]), x.w]
            return [self._packet(cut, run, (self.limits[run[0]], 0), region, hw) for run in pairwise(starts)]
        ends = max(0, out.c - self.limit + 1) if self.limit_step and out.c % hw.block else x.w
        parts = [(0, min(ends, x.w), self.limit, self.limit_step), (ends, x.w, out.c, 0)]
        return [self._packet(cut, (x0, x1), limits, region, hw) for x0, x1, *limits in parts if x0 < x1]

    @property
    def is_one_packet(self) -> bool:
        """Whether no limit passes the last key."""
        return self.limit + self.limit_step * (self.inputs[0].w - 1) <= self.output.c

    def _packet(
        self, cut: Cut, span: Span, limits: Sequence[int], region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> RelocatablePacket:
        """The pixels of a span, with limit and step."""
        x, out, (x0, x1) = self.inputs[0], self.output, span

        def part(t: Tensor) -> Region:
            inside = t in (x, out) or (t in self.inputs[2:] and t.w > 1)
            return region(t).pixel(x0, item_words=ITEM_BYTES // hw.block) if inside else region(t)

        values = {
            **self._fields(x, out, part, hw),
            "m": x1 - x0,
            "scale_by": ScaleBy.TENSOR,
            "rounding": self.rounding,
            "row_max": 1,
            "row_base": part(out).items,
            "limit": limits[0],
            "limit_step": limits[1],
        }
        if self.heads > 1 and x1 - x0 < x.w:  # maxima of a batch follow each other, those of its rows would too
            values |= {"batch": self.heads, "h": 1, "row_batch_stride": x.w * ITEM_BYTES // hw.block}
            values |= {f"{side}_batch_stride": values[f"{side}_row_stride"] for side in ("in", "out")}
        for mask in self.inputs[2:]:
            kind = OperandKind.ROW if mask.w == 1 and out.w > 1 else OperandKind.TENSOR
            values |= matrix_fields("res", part(mask), kind=kind, wide=False)
            values |= {"res_row_stride": 0} if self.heads > 1 else {}
        packet = RelocatablePacket("GEMM", values, self.node, self.op_type, (x1 - x0) * x.c * out.c)
        packet.relocations = {"param_base": cut.params.records[0]}
        return packet


@dataclass(eq=False)
class MixOp(_ProductOp):
    """out[m] = x[m] . weights, times the record of pixel m: values of a softmax from its exponents.

    Inputs: x [M, S], weights of N channels from S keys, records [M]. Of several heads x is [heads * M, S] and out
    [M, heads * N]. `low_bytes`: x is int16, of which the low bytes count, as int8.
    """

    low_bytes: bool = False
    rounding: int = Rounding.NEAREST_EVEN

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        x = inputs[0].astype(np.int8).astype(np.int64) if self.low_bytes else inputs[0]
        acc = x @ inputs[1][0].T
        mult, shift = inputs[2][..., 1:2], inputs[2][..., 2:3]
        if self.output.planes == 2:
            q = numerics.requantize16(acc, 0, mult, shift, self.rounding)
        else:
            q = numerics.requantize(acc, 0, mult, shift, self.rounding, 0, INT8.lo, INT8.hi)
        _, w, c = q.shape
        beside = q.reshape(1, self.heads, w // self.heads, c).transpose(0, 2, 1, 3)
        return beside.reshape(1, w // self.heads, self.heads * c)

    def takes_wide(self, tensor: Tensor) -> bool:
        """Output, and exponents whose low bytes count."""
        return tensor is self.output or (self.low_bytes and tensor is self.inputs[0])

    def verify(self) -> None:
        """Sizes."""
        x, records, out = self.inputs[0], self.inputs[2], self.output
        self._check(out, x, planes=2 if self.low_bytes else 1)
        self.require(records.home is Home.ITEMS and (records.w, records.c) == (x.w, 3), "its records are others'")
        self.require(out.zero_point == 0, "its output is not around 0")

    def round_by(self, rounding: int) -> None:
        """Of the result."""
        self.rounding = rounding

    def place(self, placer: Placer) -> None:
        """Keys in order, whose exponents are 0 in the padding; channels as the weights have them."""
        placer.read_as(self, 0, self.inputs[1].known_map())
        self.output.channel_map = padded_map(self.output.c, placer.block)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One."""
        x, out = self.inputs[0], self.output
        values = {
            **self._fields(out, x, region, hw),
            "in_pitch": x.planes * region(x).pitch,  # from low bytes to low bytes
            "scale_by": ScaleBy.ROW,
            "row_base": region(self.inputs[2]).base,
            "rounding": self.rounding,
            "lo": INT8.lo,
            "hi": INT8.hi,
        }
        return [RelocatablePacket("GEMM", values, self.node, self.op_type, x.c * out.w * out.c)]
