"""How near a node's result is to float, as `vlac compile --verify` measures it and a report shows it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NodeAccuracy"]


@dataclass(frozen=True)
class NodeAccuracy:
    """Of one tensor.

    Attributes:
        name: of the tensor, as the user knows it.
        equal: share of its values that are those of ONNX Runtime on the same integers.
        snr: dB to the float model, where errors of all nodes before travel; None where it lacks the tensor.
    """

    name: str
    equal: float
    snr: float | None
