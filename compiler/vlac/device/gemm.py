"""GEMM: a product of matrices with requantization and table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vlac.device.layer import check_requant, chosen_map, requant_fields, requantized
from vlac.device.params import layer_parameters
from vlac.device.tables import narrow
from vlac.ir.channel_maps import real_channels
from vlac.ir.cut import Cut, Parameter, Span, Weights
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket
from vlac.ir.records import Requant

__all__ = ["GemmOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class GemmOp(Op):
    """M x K by K x N, of tensors of one row with M pixels. weight int8 [N, K].

    out[0, m, n] = table[requantize(sum over k of weight[n, k] * in[0, m, k])]

    The biases take the zero point of the input off.
    """

    weight: NDArray[np.int8]
    requant: Requant

    queue = "mac"
    in_bands = False
    reads_any_order = True

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return requantized(inputs[0] @ self.weight.T.astype(np.int64), self.requant)

    def verify(self) -> None:
        """Sizes and records."""
        x, out = self.inputs[0], self.output
        self.require(self.weight.dtype == INT8.dtype, "its weight is not int8")
        self.require(self.weight.shape == (out.c, x.c), f"weights {self.weight.shape} for {x.c} to {out.c} channels")
        self.require(x.h == out.h == 1 and x.w == out.w, "its tensors are not of one row and equally wide")
        check_requant(self, self.requant)

    def multipliers(self) -> I64:
        """Those of the records."""
        return self.requant.mult

    def round_by(self, rounding: int) -> None:
        """Of the sum."""
        self.requant.rounding = rounding

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """One."""
        if self.requant.table is not None:
            return False
        if not narrow(self.requant, table):
            self.requant.table = table
        return True

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def writes_any_order(self) -> bool:
        """The weights are permuted."""
        return True

    def place(self, placer: Placer) -> None:
        """The order that was chosen, or any."""
        if self.output.channel_map is None:
            self.output.channel_map = chosen_map(self, placer.block)

    # --- how it is cut, what it loads, its packets ----------------------------------------------------

    def most_blocks(self, hw: HardwareConfig) -> int:
        """As many as have their records in a quarter of the parameter memory."""
        return hw.param_words // 4

    def split(self, first: int, out: Tensor, block: int) -> list[Op]:
        """The product with the columns in `out`."""
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
        """One, of all rows."""
        assert cut.weights is not None
        o0, o1 = chunk
        x, out = self.inputs[0], self.output
        source, target = region(x), region(out)
        values = {
            "batch": 1,
            "m": x.w,
            "k_blocks": x.blocks(hw.block),
            "n_blocks": o1 - o0,
            "in_base": source.base,
            "in_pitch": source.pitch,
            "out_base": target.base + o0 * target.pitch,
            "out_pitch": target.pitch,
            **requant_fields(self.requant),
        }
        relocations = {"param_base": cut.params.records[cut.chunks.index(chunk)], **cut.params.table_base(values)}
        macs = x.w * real_channels(out.known_map(), chunk, hw.block) * self.weight.shape[1]
        packet = RelocatablePacket("GEMM", values, self.node, self.op_type, macs, cut.weights.span(chunk))
        packet.relocations = relocations
        return [packet]
