"""Errors of the policies that a user can cause."""

from __future__ import annotations

from vla_isa.errors import VlaError

__all__ = ["ExportError", "LanguageError", "ObservationError", "PolicyError"]


class PolicyError(VlaError):
    """A policy's name, configuration or saved files are wrong."""


class ObservationError(VlaError):
    """An observation cannot be turned into the policy's inputs."""


class ExportError(VlaError):
    """A policy cannot be exported, or the exported graph computes something else."""


class LanguageError(VlaError):
    """Embeddings of sentences are missing, damaged or of another encoder."""
