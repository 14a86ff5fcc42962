"""Refusals of the compiler. Each message names the thing, the value, the limit and what to do.

Not here: errors of the instruction set and the program image (`vla_isa.errors`).
"""

from __future__ import annotations

from collections.abc import Iterable

from vla_isa.errors import VlaError

__all__ = ["AllocationError", "CalibrationError", "ModelError", "OutputError", "UnsupportedError"]


class ModelError(VlaError):
    """The ONNX file is missing, damaged or not what the compiler reads."""


class CalibrationError(VlaError):
    """Calibration data is missing or does not fit the model."""


class OutputError(VlaError):
    """An output file cannot be written."""


class AllocationError(VlaError):
    """A tensor or a layer's weights do not fit on chip, however they are cut."""


class UnsupportedError(VlaError):
    """Nodes that cannot run on the machine: all of them at once, each with the rule it breaks."""

    def __init__(self, reasons: Iterable[str]) -> None:
        """`reasons`: one sentence per refused node."""
        self.reasons = tuple(reasons)
        if len(self.reasons) == 1:
            super().__init__(self.reasons[0])
        else:
            lines = "\n".join(f"  {r}" for r in self.reasons)
            super().__init__(f"{len(self.reasons)} nodes cannot run on the machine:\n{lines}")
