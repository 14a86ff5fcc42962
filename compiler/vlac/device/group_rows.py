"""COPYs between an image and its groups of channels as rows, each of all values of a group.

Words move whole, one COPY for each group: channel blocks, rows and pixels are its three steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import Move
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.copy import COPY
from vlac.ir.channel_maps import padded_map
from vlac.ir.cut import Cut, Span
from vlac.ir.geometry import is_image
from vlac.ir.operation import Op, Placer, Tensor
from vlac.ir.packet import Region, RelocatablePacket

__all__ = ["GroupRowsOp", "regroups"]

I64 = NDArray[np.int64]


def regroups(index: I64, x: Tensor, out: Tensor, hw: HardwareConfig) -> bool:
    """Whether `out`, whose element i is element index[i] of `x`, is what `GroupRowsOp` makes of it."""
    image, rows = (x, out) if is_image(x.shape) else (out, x)
    if not is_image(image.shape) or is_image(rows.shape) or rows.h != 1:
        return False
    width, most = image.c // rows.w, COPY.limit("n1")
    fits = rows.w * rows.c == math.prod(image.shape) and image.c % rows.w == 0 and width % hw.block == 0
    fits = fits and max(image.h, image.w, 2 * width // hw.block) <= most
    return fits and len(index) == math.prod(out.shape) and np.array_equal(index, _index(image, rows, back=out is image))


def _index(image: Tensor, rows: Tensor, *, back: bool) -> I64:
    groups, width, pixels = rows.w, image.c // rows.w, image.h * image.w
    shape = (groups, pixels, width) if back else (groups, width, pixels)
    return np.arange(math.prod(shape)).reshape(shape).transpose(0, 2, 1).reshape(-1)


@dataclass(eq=False)
class GroupRowsOp(Op):
    """An image [1, C, H, W] as [1, groups, H * W * C / groups], channels innermost; or the way back."""

    queue = "load"

    @property
    def _image(self) -> Tensor:
        return self.inputs[0] if is_image(self.inputs[0].shape) else self.output

    @property
    def _rows(self) -> Tensor:
        return self.output if self._image is self.inputs[0] else self.inputs[0]

    def meaning(self, inputs: list[I64]) -> I64:
        """See the class."""
        index = _index(self._image, self._rows, back=self.output is self._image)
        return self.output.to_hwc(self.inputs[0].from_hwc(inputs[0]).reshape(-1)[index])

    def verify(self) -> None:
        """The same values in another order."""
        self.require(self.inputs[0].same_scale(self.output), "its output has another scale")
        self.require(self._rows.w * self._rows.c == math.prod(self._image.shape), "its output has another size")

    def takes_wide(self, tensor: Tensor) -> bool:
        """Whole words."""
        return True

    def place(self, placer: Placer) -> None:
        """Channels in order."""
        placer.read_as(self, 0, padded_map(self.inputs[0].c, placer.block))
        self.output.channel_map = padded_map(self.output.c, placer.block)

    def packets(
        self, cut: Cut, band: Span, chunk: Span, region: Callable[[Tensor], Region], hw: HardwareConfig
    ) -> list[RelocatablePacket]:
        """One for each group: n1 counts channel blocks, n2 rows, n3 pixels."""
        image, rows = self._image, self._rows
        y0, y1 = band if self.output is image else (0, image.h)
        grid, line = region(image), region(rows)
        blocks = image.c // rows.w // hw.block
        step = blocks * grid.planes * line.pitch  # of a pixel in a row of a group
        sides = ("src", "dst") if self.output is rows else ("dst", "src")
        found = []
        for group in range(rows.w):
            values = {"move": Move.ACT_TO_ACT, "n0": 1, "n1": blocks * grid.planes, "n2": y1 - y0, "n3": image.w}
            values |= {sides[0]: grid.block(group * blocks), sides[1]: line.base + group + y0 * image.w * step}
            strides = ((grid.pitch, grid.row_stride, 1), (line.pitch, image.w * step, step))
            for side, three in zip(sides, strides, strict=True):
                values |= {f"{side}_stride{axis}": stride for axis, stride in enumerate(three, 1)}
            values |= {f"{sides[0]}_ring": grid.ring, f"{sides[0]}_slot": y0 % grid.ring}
            found.append(RelocatablePacket("COPY", values, self.node, self.op_type))
        return found
