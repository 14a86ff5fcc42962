"""A choice of channels; pixels stay where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op

__all__ = ["SelectOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class SelectOp(Op):
    """Output channel i is input channel `channels[i]`, -1 is the integer `fill`; pixels stay where they are.

    No instruction where `legalize/place` can read the input's bytes under other channel numbers, else it
    becomes a convolution with a 0/1 matrix there.
    """

    channels: I64
    fill: int = 0

    @property
    def queue(self) -> str:
        """None: a selection that is left reads the bytes of its input."""
        return ""

    def rearranged(self, parts: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """The output's values, for comparison with a reference."""
        return self.output.from_hwc(self.inputs[0].to_hwc(parts[0])[:, :, self.channels])
