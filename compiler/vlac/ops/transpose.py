"""Transpose: an order of axes; free at inputs and outputs and where it only renumbers channels."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("Transpose", rules=())
