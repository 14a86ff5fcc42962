"""Gather: constant indices: a choice of channels, rows or pixels."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("Gather")
