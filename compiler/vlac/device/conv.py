"""CONV: a 2-D convolution with requantization, table and residual add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import MaskEmpty, MaskMode
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vla_isa.numerics import ResidualRecord, residual_add
from vla_isa.tasks import LiveBlocks
from vlac.device.layer import check_requant, chosen_map, requant_fields, requantized
from vlac.device.operand_fetch import strip_cycles
from vlac.device.params import layer_parameters
from vlac.device.tables import narrow
from vlac.ir.channel_maps import real_channels
from vlac.ir.cut import Cut, Parameter, Span, Weights
from vlac.ir.geometry import window_rows
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, operand_fields, size_fields
from vlac.ir.records import Requant

__all__ = ["ConvOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ConvOp(Op):
    """2-D convolution. weight int8 [O, I / group, kh, kw]; pads are top, left (bottom, right follow).

        sum[y, x, o] = sum over i, ky, kx of weight[o, i, ky, kx]
                       * in[y * sh - top + ky * dh, x * sw - left + kx * dw, first(o) + i]
        out = residual_add(table[requantize(sum)], in1)

    Outside the input there is its zero point, which the biases take off again; first(o) is the first input channel of
    o's group; table and residual add where there are some. With `residual`, inputs[1] is the tensor that is added.
    `macs` is what one output value is counted for: the model's own taps, also where space to depth has added zero ones.
    `gate` is the model's node whose blocks tasks mask, `masks` what is live in each task; None where nothing is dead;
    `unread` are the out blocks that nobody reads then.
    """

    weight: NDArray[np.int8]
    requant: Requant
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    group: int = 1
    residual: ResidualRecord | None = None
    macs: int = 0
    gate: str = ""
    masks: dict[str, LiveBlocks] | None = None
    unread: dict[str, list[int]] = field(default_factory=dict)

    queue = "mac"
    leads = True
    reads_any_order = True

    def __post_init__(self) -> None:
        """Count the weights of one output channel, unless told."""
        self.macs = self.macs or self.weight[0].size

    @property
    def kernel(self) -> tuple[int, int]:
        """Kernel rows and columns."""
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def detail(self) -> str:
        """Kernel and strides."""
        return f" kernel {self.kernel[0]}x{self.kernel[1]} stride {self.strides[0]}x{self.strides[1]}"

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        q = requantized(self._sums(inputs[0]), self.requant)
        return q if self.residual is None else residual_add(q, inputs[1], self.residual, self.requant.rounding)

    def _sums(self, x: I64) -> I64:
        """int64 [h, w, I] to [out h, out w, O]."""
        out, (kh, kw), (sh, sw), (dh, dw) = self.output, self.kernel, self.strides, self.dilations
        (h, w, c), (top, left) = x.shape, self.pads
        rows, columns = (out.h - 1) * sh + (kh - 1) * dh + 1, (out.w - 1) * sw + (kw - 1) * dw + 1
        padded = np.full((max(rows, top + h), max(columns, left + w), c), self.inputs[0].zero_point, np.int64)
        padded[top : top + h, left : left + w] = x
        weight = self.weight.astype(np.int64).reshape(self.group, -1, *self.weight.shape[1:])
        total = np.zeros((out.h, out.w, self.group, weight.shape[1]), np.int64)
        for ky in range(kh):
            for kx in range(kw):
                ys = slice(ky * dh, ky * dh + (out.h - 1) * sh + 1, sh)
                xs = slice(kx * dw, kx * dw + (out.w - 1) * sw + 1, sw)
                seen = padded[ys, xs].reshape(out.h, out.w, self.group, -1)
                total += np.einsum("yxgi,goi->yxgo", seen, weight[:, :, :, ky, kx])
        return total.reshape(out.h, out.w, -1)

    def verify(self) -> None:
        """Channels, groups, steps, records and the residual; whole windows may lie in the padding."""
        x, out = self.inputs[0], self.output
        o, i = self.weight.shape[:2]
        self.require(self.weight.dtype == INT8.dtype and self.weight.ndim == 4, "its weight is not int8 [O, I, kh, kw]")
        self.require(o == out.c, f"it has weights for {o} channels and writes {out.c}")
        self.require(i * self.group == x.c, f"it has weights for {i * self.group} channels and reads {x.c}")
        self.require(o % self.group == 0, f"{o} channels are not {self.group} groups")
        self.require(min(*self.strides, *self.dilations) >= 1, "a stride or dilation is not positive")
        check_requant(self, self.requant)
        self.require(len(self.inputs) == (1 if self.residual is None else 2), "inputs and residual do not fit")
        for other in self.inputs[1:]:
            self.require(
                (other.h, other.w, other.c) == (out.h, out.w, out.c), f"it adds '{other.label}' of another size"
            )

    def multipliers(self) -> I64:
        """Those of the records."""
        return self.requant.mult

    def round_by(self, rounding: int) -> None:
        """Of the sum and of the residual add."""
        self.requant.rounding = rounding

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """One, unless a residual is added behind it."""
        if self.residual is not None or self.requant.table is not None:
            return False
        if not narrow(self.requant, table):
            self.requant.table = table
        return True

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def writes_any_order(self) -> bool:
        """The weights are permuted, unless a residual has its order."""
        return self.residual is None

    def place(self, placer: Placer) -> None:
        """The residual's order; else the one that was chosen, the input's for a depthwise convolution, or any."""
        x, out = self.inputs[0], self.output
        if self.residual is not None:
            out.channel_map = self.inputs[1].known_map()
        elif out.channel_map is None:
            depthwise = 1 < self.group == x.c == out.c
            out.channel_map = x.known_map() if depthwise else chosen_map(self, placer.block)

    def fetch_cycles(self, row_stride: int, pixels: int) -> float:
        """Strips of the output plane times the taps of each."""
        h, w = self.output.h, self.output.w
        return strip_cycles(h, w, *self.strides, row_stride, pixels) * float(h * w * self.weight[0].size)

    # --- how it is cut, what it loads, its packets ----------------------------------------------------

    def input_rows(self, y0: int, y1: int, index: int = 0) -> Span:
        """Rows under the windows, without padding; of the residual the output's own rows."""
        if index:
            return y0, y1
        extent = (self.kernel[0] - 1) * self.dilations[0] + 1
        return window_rows(self.inputs[0].h, y0, y1, self.strides[0], extent, self.pads[0])

    def sees_input(self, y: int) -> bool:
        """Whether the window begins in front of the input's end."""
        return y * self.strides[0] - self.pads[0] < self.inputs[0].h

    @property
    def weights(self) -> Weights:
        """Blocks of zeros are left out."""
        return Weights(self.weight, self.group, maskable=True, by_task=self.masks is not None)

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """See `layer_parameters`."""
        return layer_parameters(self.requant, self.residual, self.output.known_map(), cut, hw)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One."""
        assert cut.weights is not None
        (y0, y1), (o0, o1) = band, chunk
        x, out = self.inputs[0], self.output
        a, b = self.input_rows(y0, y1)
        diagonal = cut.weights.mode == MaskMode.DIAGONAL
        blocks = o1 - o0 if diagonal else x.blocks(hw.block)
        values = {
            **operand_fields("in", region(x), a, o0 if diagonal else 0),
            **size_fields("in", b - a, x.w, blocks),
            "in_zero": x.zero_point,
            "kernel_h": self.kernel[0],
            "kernel_w": self.kernel[1],
            "stride_h": self.strides[0],
            "stride_w": self.strides[1],
            "dilation_h": self.dilations[0],
            "dilation_w": self.dilations[1],
            "pad_top": self.pads[0] + a - y0 * self.strides[0],
            "pad_left": self.pads[1],
            **operand_fields("out", region(out), y0, o0),
            **size_fields("out", y1 - y0, out.w, o1 - o0),
            "mask_mode": cut.weights.mode,
            "mask_empty": MaskEmpty.BIAS if self.masks is None else MaskEmpty.ZERO,
            **requant_fields(self.requant, out),
        }
        relocations = {"param_base": cut.params.records[cut.chunks.index(chunk)], **cut.params.table_base(values)}
        if cut.weights.mode == MaskMode.MASK:
            assert cut.params.mask is not None
            relocations["mask_base"] = cut.params.mask + o0
        if self.residual is not None:
            values |= {"residual_enable": 1, **operand_fields("res", region(self.inputs[1]), y0, o0)}
        macs = (y1 - y0) * out.w * real_channels(out.known_map(), chunk, hw.block) * self.macs
        packet = RelocatablePacket("CONV", values, self.node, self.op_type, macs, cut.weights.span(chunk))
        packet.relocations = relocations
        packet.in_blocks = 0 if self.masks is None else blocks
        return [packet]
