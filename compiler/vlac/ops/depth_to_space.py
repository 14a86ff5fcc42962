"""DepthToSpace: blocks of channels to pixels by COPY, in both orders (DCR and CRD)."""

from __future__ import annotations

from vlac.lowering.layout import layout_operator

__all__ = ["SPEC"]

SPEC = layout_operator("DepthToSpace", rules=())
