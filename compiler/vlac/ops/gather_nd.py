"""GatherND: constant indices: a choice of elements."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("GatherND")
