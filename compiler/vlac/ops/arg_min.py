"""ArgMin at the end of a model: the host does it with the dequantization of the output."""

from __future__ import annotations

from vlac.lowering.final import final

__all__ = ["SPEC"]

SPEC = final("ArgMin")
