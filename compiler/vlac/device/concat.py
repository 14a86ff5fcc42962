"""Concatenation of channels, without an instruction: producers write in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op

__all__ = ["ConcatOp"]


@dataclass(eq=False)
class ConcatOp(Op):
    """Inputs side by side in channel blocks: no instruction, the producers write in place."""

    @property
    def queue(self) -> str:
        """None: producers write in place."""
        return ""

    def rearranged(self, parts: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """The output's values, for comparison with a reference."""
        hwc = [t.to_hwc(p) for t, p in zip(self.inputs, parts, strict=True)]
        return self.output.from_hwc(np.concatenate(hwc, axis=2))
