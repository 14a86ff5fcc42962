"""Unsqueeze: no instruction."""

from __future__ import annotations

from vlac.lowering.views import view

__all__ = ["SPEC"]

SPEC = view("Unsqueeze")
