"""Slice: rows and pixels by COPY with steps, channels in place or by a 0/1 matrix."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("Slice")
