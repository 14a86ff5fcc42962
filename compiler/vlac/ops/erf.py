"""Erf: a table, in the operator before it or in VEC."""

from __future__ import annotations

from vlac.lowering.unary import elementary, erf

__all__ = ["SPEC"]

SPEC = elementary("Erf", erf)
