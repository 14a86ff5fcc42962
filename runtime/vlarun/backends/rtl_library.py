"""A machine as a shared library: load it, check that it keeps to `rtl/sim/vla_api.h`, give its functions types.

`load` trusts the file; `load_foreign` first loads it in a process of its own, so that a library that crashes or
hangs there is an error like any other. Not here: building our own machine (`rtl_build.py`) and running (`rtl.py`).
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vla_isa.hardware import HardwareConfig
from vlarun.backends.rtl_build import source_folder
from vlarun.errors import BackendError

__all__ = ["API_VERSION", "PEEKS", "MachineLibrary", "Options", "Result", "header", "load", "load_foreign"]

API_VERSION = 1
SIZES = ("pixels", "block", "act_words", "weight_words", "param_words")
PEEKS = {"act": "vla_peek_act", "weight": "vla_peek_weight", "param": "vla_peek_param"}
FUNCTIONS = ("vla_api_version", "vla_describe", "vla_create", "vla_destroy", "vla_run", "vla_message")
PROBE_SECONDS, PROBE_DONE = 60, 42
# In a process of its own, which says it came through by an exit code that no crash has.
PROBE = f"""
import ctypes, os, sys
try:
    library = ctypes.CDLL(sys.argv[1])
    if library.vla_api_version() == {API_VERSION}:
        library.vla_describe(ctypes.create_string_buffer(4096))
        library.vla_create.restype = ctypes.c_void_p
        library.vla_destroy(ctypes.c_void_p(library.vla_create() or os._exit({PROBE_DONE})))
except (OSError, AttributeError):
    pass
os._exit({PROBE_DONE})
"""


class _Machine(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in (*SIZES, "shows_memories")]


class Options(ctypes.Structure):
    """`struct vla_options`."""

    _fields_ = [
        ("start_packet", ctypes.c_uint32),
        ("latency", ctypes.c_uint32),
        ("outstanding", ctypes.c_uint32),
        ("stall_percent", ctypes.c_uint32),
        ("stall_seed", ctypes.c_uint64),
        ("max_cycles", ctypes.c_uint64),
    ]


class Result(ctypes.Structure):
    """`struct vla_result`."""

    _fields_ = [
        ("done", ctypes.c_uint32),
        ("status", ctypes.c_uint32),
        ("halt_code", ctypes.c_uint32),
        ("timed_out", ctypes.c_uint32),
        ("error_addr", ctypes.c_uint64),
        ("counters", ctypes.c_uint64 * 32),
    ]


@dataclass(frozen=True)
class MachineLibrary:
    """A loaded library.

    Attributes:
        path: the file.
        functions: the functions of vla_api.h, typed.
        sizes: array and memory sizes by their names in a hardware config.
        peeks: the on-chip memories that it shows after a run, by name.
    """

    path: Path
    functions: ctypes.CDLL
    sizes: dict[str, int]
    peeks: tuple[str, ...]

    def check_config(self, hw: HardwareConfig) -> None:
        """Refuse a config that this machine is not.

        Raises:
            BackendError: names what differs.
        """
        wanted = {name: getattr(hw, name) for name in SIZES}
        found = [f"{n} {self.sizes[n]} and not {wanted[n]}" for n in SIZES if self.sizes[n] != wanted[n]]
        if found:
            raise BackendError(
                f"the machine {self.path.name} is not the hardware config '{hw.name}': it has {', '.join(found)}; "
                "give the config that describes it (--config takes a name or a TOML file)"
            )


def header() -> Path:
    """Where vla_api.h is.

    Raises:
        BackendError: the RTL sources are missing.
    """
    return source_folder() / "sim" / "vla_api.h"


@cache
def load(path: Path) -> MachineLibrary:
    """Load a library into this process.

    Raises:
        BackendError: it is none, lacks a function, or has another version of the interface.
    """
    try:
        lib = ctypes.CDLL(str(path.resolve()))
    except OSError as e:
        raise BackendError(
            f"the machine {path} cannot be loaded: {e}; it must be a shared library for this computer that "
            "implements vla_api.h (vlarun conformance --show-header says where that is)"
        ) from e
    _need(lib, path, ("vla_api_version",))
    lib.vla_api_version.restype, lib.vla_api_version.argtypes = ctypes.c_uint32, []
    version = lib.vla_api_version()
    if version != API_VERSION:
        raise BackendError(
            f"the machine {path} has version {version} of vla_api.h, this vlarun has {API_VERSION}; "
            "compile it again with the header that vlarun conformance --show-header names"
        )
    _need(lib, path, FUNCTIONS)
    machine = _Machine()
    lib.vla_describe.restype, lib.vla_describe.argtypes = None, [ctypes.POINTER(_Machine)]
    lib.vla_describe(ctypes.byref(machine))
    peeks = tuple(PEEKS) if machine.shows_memories else ()
    _need(lib, path, tuple(PEEKS[name] for name in peeks))
    _give_types(lib, peeks)
    return MachineLibrary(path, lib, {name: int(getattr(machine, name)) for name in SIZES}, peeks)


def _need(lib: ctypes.CDLL, path: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not hasattr(lib, name)]
    if missing:
        raise BackendError(
            f'the machine {path} lacks {", ".join(missing)} of vla_api.h; a C++ library needs extern "C"'
        )


def _give_types(lib: ctypes.CDLL, peeks: tuple[str, ...]) -> None:
    pointer, size = ctypes.c_void_p, ctypes.c_uint64
    lib.vla_create.restype, lib.vla_create.argtypes = pointer, []
    lib.vla_destroy.restype, lib.vla_destroy.argtypes = None, [pointer]
    lib.vla_run.restype = ctypes.c_int
    lib.vla_run.argtypes = [pointer, pointer, size, pointer, size, ctypes.POINTER(Options), ctypes.POINTER(Result)]
    lib.vla_message.restype, lib.vla_message.argtypes = ctypes.c_char_p, [pointer]
    for name in peeks:
        function = getattr(lib, PEEKS[name])
        function.restype, function.argtypes = ctypes.c_int, [pointer, pointer, size]


@cache
def load_foreign(path: Path) -> MachineLibrary:
    """Load someone else's library.

    Raises:
        BackendError: see `load`; also where it is not there, crashes, hangs or ends the process.
    """
    if not path.is_file():
        raise BackendError(
            f"the machine {path} is not there; --library takes a shared library that implements vla_api.h"
        )
    command = [sys.executable, "-c", PROBE, str(path.resolve())]
    try:
        code = subprocess.run(command, capture_output=True, check=False, timeout=PROBE_SECONDS).returncode
    except subprocess.TimeoutExpired as e:
        raise BackendError(
            f"the machine {path} hangs: loading it, vla_describe, vla_create and vla_destroy took "
            f"more than {PROBE_SECONDS} s"
        ) from e
    if code != PROBE_DONE:
        how = f"crashes with {signal.Signals(-code).name}" if code < 0 else f"ends the process with exit code {code}"
        raise BackendError(f"the machine {path} {how} in loading, vla_describe, vla_create or vla_destroy")
    return load(path)
