"""Squeeze: no instruction."""

from __future__ import annotations

from vlac.ops.spec import OpSpec
from vlac.ops.views import lower_view

__all__ = ["SPEC"]

SPEC = OpSpec("Squeeze", "No instruction.", lower=lower_view)
