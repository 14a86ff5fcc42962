"""Refusals of the compiler. Each message names the thing, the value, the limit and what to do.

Not here: errors of the instruction set and the program image (`vla_isa.errors`).
"""

from __future__ import annotations

from collections.abc import Iterable

from vla_isa.errors import VlaError

__all__ = ["AllocationError", "CalibrationError", "ModelError", "UnsupportedError"]

_HINT = "\nWith --allow-host such nodes run in ONNX Runtime, between device parts."


class ModelError(VlaError):
    """The ONNX file is missing, damaged or not what the compiler reads."""


class CalibrationError(VlaError):
    """Calibration data is missing or does not fit the model."""


class AllocationError(VlaError):
    """A tensor or a layer's weights do not fit on chip, however they are cut; `node` is the layer, where known."""

    def __init__(self, message: str, node: str = "") -> None:
        """`node`: label of the layer."""
        self.node = node
        super().__init__(message)


class UnsupportedError(VlaError):
    """Nodes that cannot run on the machine: all of them at once, each with the rule it breaks."""

    def __init__(self, reasons: Iterable[str], nodes: Iterable[str] = ()) -> None:
        """`reasons`: one sentence per refused node; `nodes`: their labels, where the raiser knows them."""
        self.reasons, self.nodes = tuple(reasons), tuple(nodes)
        text = "\n  ".join(self.reasons)
        if len(self.reasons) > 1:
            text = f"{len(self.reasons)} nodes cannot run on the machine:\n  {text}"
        super().__init__(f"{text}{_HINT if self.nodes else ''}")
