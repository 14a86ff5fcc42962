"""GEMM: a product of a matrix with constant weights, with requantization and table, or an int16 residual.

Not here: products of two computed tensors (`product.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import OperandKind
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8, INT16
from vlac.device.layer import check_requant, chosen_map, requant_fields, requantized
from vlac.device.params import layer_parameters
from vlac.device.tables import narrow
from vlac.errors import UnsupportedError
from vlac.ir.channel_maps import padded_map, real_channels
from vlac.ir.cut import Cut, Parameter, Span, Weights
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket, matrix_fields
from vlac.ir.records import Requant

__all__ = ["GemmOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class GemmOp(Op):
    """M x K by K x N, of tensors of one row with M pixels. weight int8 [N, K].

    out[0, m, n] = table[requantize(sum over k of weight[n, k] * in[0, m, k])]

    The biases take the zero point of the input off. An output of int16 has neither clamp nor table; a second input is
    added to it, an int16 of its scale, as large or one row for all. `halved`: it is one of the two products of an int16
    (`lowering/matrix_layer.py`).
    """

    weight: NDArray[np.int8]
    requant: Requant
    halved: bool = False

    queue = "mac"
    in_bands = False
    reads_any_order = True
    by_pixels = True

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        total, r = inputs[0] @ self.weight.T.astype(np.int64), self.requant
        if self.output.planes == 1:
            return requantized(total, r)
        scales = r.bias, r.mult, r.shift, r.rounding
        if len(inputs) == 1:
            return numerics.requantize16(total, *scales)
        return numerics.residual16(total, *scales, inputs[1])

    def takes_wide(self, tensor: Tensor) -> bool:
        """Output and residual."""
        return tensor is not self.inputs[0]

    def verify(self) -> None:
        """Sizes and records."""
        x, out = self.inputs[0], self.output
        self.require(self.weight.dtype == INT8.dtype, "its weight is not int8")
        self.require(self.weight.shape == (out.c, x.c), f"weights {self.weight.shape} for {x.c} to {out.c} channels")
        self.require(x.h == out.h == 1 and x.w == out.w, "its tensors are not of one row and equally wide")
        self.require(x.planes == 1, "its input is not int8")
        check_requant(self, self.requant)
        r = self.requant
        plain = r.table is None and (r.zero_point, r.lo, r.hi) == (0, INT16.lo, INT16.hi)
        self.require(out.planes == 1 or plain, "its int16 output has a zero point, clamp or table")
        for res in self.inputs[1:]:
            alike = res.same_scale(out) and out.planes == 2
            self.require(alike and res.c == out.c and res.h == 1, f"residual '{res.label}' is no int16 like its output")
            self.require(res.w in (1, out.w), f"residual '{res.label}' is of another size")

    def multipliers(self) -> I64:
        """Those of the records."""
        return self.requant.mult

    def round_by(self, rounding: int) -> None:
        """Of the sum."""
        self.requant.rounding = rounding

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """One."""
        if self.requant.table is not None or self.output.planes == 2:
            return False
        if not narrow(self.requant, table):
            self.requant.table = table
        return True

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def writes_any_order(self) -> bool:
        """The weights are permuted; not where a residual lies in its own order."""
        return len(self.inputs) == 1 and self.output.planes == 1

    @property
    def pads_zero(self) -> bool:
        """Records of padding are 0."""
        return self.requant.zero_point == 0 and self.requant.table is None

    def place(self, placer: Placer) -> None:
        """The order that was chosen, or any; of int16 the plain one."""
        if self.output.planes == 2:
            self.output.channel_map = padded_map(self.output.c, placer.block)
        if self.output.channel_map is None:
            self.output.channel_map = chosen_map(self, placer.block)
        for number, res in enumerate(self.inputs[1:], 1):
            if res.channel_map is None:
                res.channel_map = self.output.channel_map
            placer.read_as(self, number, self.output.channel_map)

    # --- how it is cut, what it loads, its packets ----------------------------------------------------

    @property
    def in_spans(self) -> bool:
        """Any pixels."""
        return True

    def most_blocks(self, hw: HardwareConfig) -> int:
        """As many as have their records in a quarter of the parameter memory."""
        return hw.param_words // 4

    def split(self, first: int, out: Tensor, block: int) -> list[Op]:
        """The product with the columns in `out`.

        Raises:
            UnsupportedError: it adds a residual.
        """
        if len(self.inputs) > 1:
            text = f"has {self.output.c} columns and adds to another product, or to the other"
            text += f" half of an int16 operand; this machine has records for {len(out.known_map())}. Use a config with"
            text += " more parameter memory, or int8 activations"
            raise UnsupportedError([f"{self.op_type} '{self.node}' {text}"])
        channel_map = self.output.known_map()[first * block :][: len(out.known_map())]
        columns, r = channel_map[channel_map >= 0], self.requant
        requant = replace(r, bias=r.bias[columns], mult=r.mult[columns], shift=r.shift[columns])
        return [GemmOp(self.node, self.op_type, list(self.inputs), out, self.weight[columns], requant)]

    @property
    def weights(self) -> Weights:
        """As those of a 1 x 1 convolution."""
        return Weights(self.weight[:, :, None, None])

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """See `layer_parameters`."""
        return layer_parameters(self.requant, None, self.output.known_map(), cut, hw)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each span of pixels, or one of all."""
        assert cut.weights is not None
        o0, o1 = chunk
        x, out = self.inputs[0], self.output
        packets = []
        for x0, x1 in cut.spans or [(0, x.w)]:
            source, target = region(x).pixel(x0), region(out).pixel(x0)
            values = {
                "batch": 1,
                "h": 1,
                "m": x1 - x0,
                "k_blocks": x.blocks(hw.block),
                "n_blocks": o1 - o0,
                "in_base": source.base,
                "in_pitch": source.pitch,
                "out_base": target.block(o0),
                "out_pitch": target.pitch,
                "out_bytes": target.planes - 1,
                **requant_fields(self.requant, out),
            }
            for res in self.inputs[1:]:
                row = res.w == 1 and out.w > 1
                kind = OperandKind.ROW if row else OperandKind.TENSOR
                values |= matrix_fields("res", region(res).pixel(0 if row else x0), o0, kind=kind, wide=False)
                if res.root is out.root:  # in its place
                    values["out_row_stride"] = values["res_row_stride"]
            relocations = {"param_base": cut.params.records[cut.chunks.index(chunk)], **cut.params.table_base(values)}
            macs = (x1 - x0) * real_channels(out.known_map(), chunk, hw.block) * self.weight.shape[1]
            packet = RelocatablePacket("GEMM", values, self.node, self.op_type, macs, cut.weights.span(chunk))
            packet.relocations = relocations
            packets.append(packet)
        return packets
