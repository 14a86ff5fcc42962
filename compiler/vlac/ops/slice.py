"""Slice: rows and pixels by COPY with steps, channels in place or by a 0/1 matrix."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("Slice")
