"""GatherND: constant indices: a choice of elements."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("GatherND")
