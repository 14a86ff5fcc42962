"""Errors of training and evaluation that a user can cause."""

from __future__ import annotations

from vla_isa.errors import VlaError

__all__ = ["CheckpointError", "EvaluationError", "TrainConfigError"]


class TrainConfigError(VlaError):
    """A training configuration is unknown, incomplete or out of range."""


class CheckpointError(VlaError):
    """A checkpoint is missing, damaged or belongs to another run."""


class EvaluationError(VlaError):
    """An evaluation cannot be run as asked, or two results cannot be compared."""
