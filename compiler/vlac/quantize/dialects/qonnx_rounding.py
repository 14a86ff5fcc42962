"""Rounding modes of QONNX's Quant nodes: exactly, for constants; as what the machine has, for activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MODES", "machine_rounding", "round_constant"]

MODES = ("ROUND", "HALF_EVEN", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


def round_constant(mode: str, x: NDArray[np.floating]) -> NDArray[Any]:
    """Whole numbers; UP and HALF_UP are away from zero, DOWN and HALF_DOWN towards it."""
    size, sign = np.abs(x), np.sign(x)
    whole = {
        "FLOOR": np.floor(x),
        "CEIL": np.ceil(x),
        "UP": sign * np.ceil(size),
        "DOWN": np.trunc(x),
        "HALF_UP": sign * np.floor(size + 0.5),
        "HALF_DOWN": sign * np.ceil(size - 0.5),
    }
    return np.asarray(whole.get(mode, np.rint(x)))


def machine_rounding(mode: str, *, ends_at_zero: bool) -> str | None:
    """The machine's name of a mode, or None; where negative values become 0 anyway, away from zero is up."""
    same = {"ROUND": "nearest-even", "HALF_EVEN": "nearest-even", "FLOOR": "floor"}
    if ends_at_zero:
        same |= {"HALF_UP": "half-up", "DOWN": "floor"}
    return same.get(mode)
