"""The ways to run a program: `BACKENDS` lists them, `create(name, ...)` gives one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vla_isa.errors import BadUsageError, check_type, did_you_mean
from vlarun.backends.base import Backend, RunResult, run_once
from vlarun.backends.ref import RefBackend, RefOptions
from vlarun.backends.rtl import RtlBackend, RtlOptions
from vlarun.backends.sim import SimBackend, SimOptions

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendSpec",
    "RefBackend",
    "RtlBackend",
    "RunResult",
    "SimBackend",
    "chosen",
    "create",
    "run_once",
]


@dataclass(frozen=True)
class BackendSpec:
    """A backend by name: the dataclass of its options, and what makes it of them."""

    name: str
    options: type[Any]
    make: Callable[[Any], Backend]

    @property
    def option_names(self) -> list[str]:
        """What `create` takes for it."""
        return [f.name for f in fields(self.options)]


BACKENDS = (
    BackendSpec("sim", SimOptions, SimBackend),
    BackendSpec("rtl", RtlOptions, RtlBackend),
    BackendSpec("ref", RefOptions, RefBackend),
)


def chosen(backend: str | Backend, onnx: str | Path | None = None) -> Backend:
    """The backend that a session was given, or the one of that name; `onnx` is the model of `ref`.

    Raises:
        BadUsageError: see `create`.
        TypeError: neither a name nor a backend.
    """
    check_type("backend", backend, f"one of {', '.join(s.name for s in BACKENDS)} or a Backend", str, Backend)
    return create(backend, onnx=onnx) if isinstance(backend, str) else backend


def create(name: str, **given: str | Path | int | None) -> Backend:
    """A backend by name.

    Args:
        name: of `BACKENDS`.
        given: fields of its options; None is not given.

    Raises:
        BadUsageError: unknown name, or an option of another backend.
    """
    specs = {spec.name: spec for spec in BACKENDS}
    if name not in specs:
        raise BadUsageError(
            f"unknown backend '{name}'; there are {', '.join(specs)}." + did_you_mean(name, tuple(specs))
        )
    options = {key: value for key, value in given.items() if value is not None}
    for key in options:
        if key not in specs[name].option_names:
            owners = [spec.name for spec in BACKENDS if key in spec.option_names]
            raise BadUsageError(f"--{key} is for --backend {' or '.join(owners) or '(none)'}, not for '{name}'")
    return specs[name].make(specs[name].options(**options))
