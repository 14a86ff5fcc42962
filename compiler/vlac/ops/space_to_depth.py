"""SpaceToDepth: pixels to blocks of channels by COPY."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("SpaceToDepth", rules=())
