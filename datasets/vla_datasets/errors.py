"""Errors of the dataset package that a user can cause."""

from __future__ import annotations

from vla_isa.errors import VlaError

__all__ = ["CollectError", "DatasetError", "WorldError"]


class DatasetError(VlaError):
    """A data set on disk is missing, damaged, foreign or inconsistent."""


class CollectError(VlaError):
    """A collection cannot start or go on as asked."""


class WorldError(VlaError):
    """A world does something else than its contract says."""
