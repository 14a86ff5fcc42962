"""Gather: constant indices: a choice of channels, rows or pixels."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("Gather")
