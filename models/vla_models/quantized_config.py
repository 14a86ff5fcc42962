"""What a quantized policy is made from; no torch here: a robot reads it for the preprocessor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["QuantizedConfig"]


@dataclass(frozen=True)
class QuantizedConfig:
    """The float policy it was made from, and its graph after the compiler's rewriting, without weights."""

    policy: str  # name in the registry of policies
    options: Mapping[str, Any]  # that policy's config
    graph: str  # see `quantized/skeleton.py`
