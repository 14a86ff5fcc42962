"""The ways to run a program, behind one interface: `create(name, ...)` gives a backend."""

from __future__ import annotations

from pathlib import Path

from vla_isa.errors import BadUsageError, did_you_mean
from vlarun.backends.base import Backend, RunResult
from vlarun.backends.ref import RefBackend
from vlarun.backends.rtl import RtlBackend
from vlarun.backends.sim import SimBackend

__all__ = ["BACKENDS", "Backend", "RefBackend", "RtlBackend", "RunResult", "SimBackend", "create"]

BACKENDS = ("sim", "rtl", "ref")


def create(
    name: str, *, onnx: str | Path | None = None, checked: bool = False, library: str | Path | None = None
) -> Backend:
    """A backend by name.

    Args:
        onnx: the model of `ref` (otherwise the one embedded in the program).
        checked: `rtl` with assertions.
        library: someone else's machine for `rtl`, see `rtl/sim/vla_api.h`.

    Raises:
        BadUsageError: unknown name, a library for another backend than `rtl`, or a model for another than `ref`.
    """
    if library is not None and name != "rtl":
        raise BadUsageError(f"--library is a machine for --backend rtl, not for '{name}'")
    if onnx is not None and name in ("sim", "rtl"):
        raise BadUsageError(f"--onnx is the model of --backend ref, not of '{name}'")
    if name == "sim":
        return SimBackend()
    if name == "rtl":
        return RtlBackend(flavour="checked" if checked else "fast", library=library)
    if name == "ref":
        return RefBackend(onnx)
    raise BadUsageError(f"unknown backend '{name}'; there are {', '.join(BACKENDS)}." + did_you_mean(name, BACKENDS))
