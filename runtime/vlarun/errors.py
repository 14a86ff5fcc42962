"""Errors of the runtime that a user can cause or that a machine can report."""

from __future__ import annotations

from vla_isa.errors import InputError, VlaError

__all__ = ["BackendError", "DataSpaceError", "InputError", "MachineError"]


class BackendError(VlaError):
    """A backend cannot be used here: not built, no compiler, no ONNX model."""


class MachineError(VlaError):
    """The machine stopped with an error code, or was stopped by the watchdog."""


class DataSpaceError(VlaError):
    """A packet reads or writes outside the data space or the weight space (AXI_READ or AXI_WRITE)."""
