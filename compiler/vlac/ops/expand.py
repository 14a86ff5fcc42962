"""Expand: repeated rows, pixels or channels."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("Expand")
