"""Split: slices of channels in place, of rows and pixels by COPY."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("Split")
