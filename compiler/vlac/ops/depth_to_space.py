"""DepthToSpace: blocks of channels to pixels by COPY, in both orders (DCR and CRD)."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("DepthToSpace", rules=())
