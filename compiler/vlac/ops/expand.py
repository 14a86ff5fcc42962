"""Expand: repeated rows, pixels or channels."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("Expand")
