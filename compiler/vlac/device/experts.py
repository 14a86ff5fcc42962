"""A product or convolution whose weights and records are those of one of several experts: an item says of which.

Its packets are those of any one of them. Not here: the SET and the indexed COPYs in front (`emit/`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.ir.cut import Cut, Parameter, Span, Weights
from vlac.ir.operation import ITEM_BYTES, Home, Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["ConvExpertsOp", "ExpertsOp", "expert_layers"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class ExpertsOp(Op):
    """out = layers[number](in), where the number is an item.

    Inputs: what a layer reads, and the row vector of one item. The layers differ in weights, biases and multipliers
    only; their own inputs and outputs count for nothing. The machine stops where there is no layer of the number.
    """

    layers: list[GemmOp] | list[ConvOp]

    queue = "mac"
    in_bands = False
    reads_any_order = True
    by_pixels = True

    @property
    def choice(self) -> Tensor:
        """The last input."""
        return self.inputs[-1]

    @property
    def experts(self) -> list[Op]:
        """Each layer between the tensors of this operation; its records are those of `layers`."""
        return list(self._experts)

    @property
    def _experts(self) -> list[GemmOp | ConvOp]:
        return [replace(layer, inputs=self.inputs[:-1], output=self.output) for layer in self.layers]

    @property
    def _one(self) -> GemmOp | ConvOp:
        return self._experts[0]

    @property
    def detail(self) -> str:
        """That of the layers, and how many."""
        return f"{self._one.detail} of {len(self.layers)}"

    # --- what it computes -----------------------------------------------------------------------------

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        return self.expert(inputs[-1]).meaning(inputs[:-1])

    def expert(self, item: I64) -> GemmOp | ConvOp:
        """The layer of a number: the item, or its bytes."""
        flat = item.reshape(-1)
        low = flat[:4].astype(np.uint8).view("<i4") if self.choice.c == ITEM_BYTES else flat[:1]
        return self._experts[int(low[0])]

    def takes_wide(self, tensor: Tensor) -> bool:
        """As any of them does."""
        return tensor is not self.choice and self._one.takes_wide(tensor)

    def verify(self) -> None:
        """Every layer, alike in size, and the item."""
        layers, number = self._experts, self.choice
        for layer in layers:
            layer.verify()
            self.require(layer.weight.shape == layers[0].weight.shape, "its experts are of different sizes")
        self.require(number.home is Home.ITEMS and number.w == 1, "its expert's number is not one item")

    def multipliers(self) -> I64:
        """Those of all."""
        return np.concatenate([layer.multipliers() for layer in self.layers])

    def round_by(self, rounding: int) -> None:
        """All."""
        for layer in self.layers:
            layer.round_by(rounding)

    def take_table(self, table: NDArray[np.int8]) -> bool:
        """All or none: their results have one scale."""
        taken = [layer.take_table(table) for layer in self._experts]
        return all(taken)

    # --- where its operands lie -----------------------------------------------------------------------

    @property
    def writes_any_order(self) -> bool:
        """As any of them does."""
        return self._one.writes_any_order

    @property
    def pads_zero(self) -> bool:
        """As any of them does."""
        return self._one.pads_zero

    def place(self, placer: Placer) -> None:
        """As any of them is."""
        self._one.place(placer)

    def fetch_cycles(self, row_stride: int, pixels: int) -> float:
        """Those of one."""
        return self._one.fetch_cycles(row_stride, pixels)

    # --- how it is cut, what it loads, its packets ----------------------------------------------------

    def input_rows(self, y0: int, y1: int, index: int = 0) -> Span:
        """As a layer; the item is there before."""
        return self._one.input_rows(y0, y1, index) if index < len(self.inputs) - 1 else (0, 1)

    def sees_input(self, y: int) -> bool:
        """As a layer."""
        return self._one.sees_input(y)

    @property
    def in_spans(self) -> bool:
        """As a layer."""
        return self._one.in_spans

    def most_blocks(self, hw: HardwareConfig) -> int | None:
        """As a layer."""
        return self._one.most_blocks(hw)

    def split(self, first: int, out: Tensor, block: int) -> list[Op]:
        """The same part of every layer."""
        parts = [op for layer in self._experts for op in layer.split(first, out, block) if isinstance(op, GemmOp)]
        return [replace(self, output=out, layers=parts)]

    @property
    def weights(self) -> Weights | None:
        """Those of one, with every block that is not zero in all of them."""
        own = [layer.weights for layer in self._experts]
        used = np.any([w.values != 0 for w in own], axis=0).astype(np.int8)
        return replace(own[0], values=used)

    def parameters(self, cut: Cut, hw: HardwareConfig) -> list[Parameter]:
        """Those of one."""
        return self._one.parameters(cut, hw)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """Those of one; what they read of weights and parameters is the chosen expert's."""
        return self._one.packets(cut, band, chunk, region, hw)


@dataclass(eq=False)
class ConvExpertsOp(ExpertsOp):
    """Of convolutions."""

    in_bands = True
    by_pixels = False


def expert_layers(node: str, op_type: str, number: Tensor, layers: list[GemmOp] | list[ConvOp]) -> ExpertsOp:
    """The operation that is one of `layers`, which have the same input and output."""
    make = ConvExpertsOp if isinstance(layers[0], ConvOp) else ExpertsOp
    return make(node, op_type, [*layers[0].inputs, number], layers[0].output, layers)
