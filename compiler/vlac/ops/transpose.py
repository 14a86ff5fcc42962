"""Transpose: an order of axes; free at inputs and outputs and where it only renumbers channels."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("Transpose", rules=())
