"""Reshape: no instruction where it flattens or splits axes; weights are permuted instead."""

from __future__ import annotations

from vlac.lowering.views import view

__all__ = ["SPEC"]

SPEC = view("Reshape")
