"""Flatten: no instruction, the weights of the Gemm behind it are permuted instead."""

from __future__ import annotations

from vlac.lowering.views import view

__all__ = ["SPEC"]

SPEC = view("Flatten")
