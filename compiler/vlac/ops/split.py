"""Split: slices of channels in place, of rows and pixels by COPY."""

from __future__ import annotations

from vlac.lowering.moves import mover

__all__ = ["SPEC"]

SPEC = mover("Split")
