"""Squeeze: no instruction."""

from __future__ import annotations

from vlac.ops.views import view

__all__ = ["SPEC"]

SPEC = view("Squeeze")
