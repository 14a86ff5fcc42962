"""SpaceToDepth: pixels to blocks of channels by COPY."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("SpaceToDepth", rules=())
