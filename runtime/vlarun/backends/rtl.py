"""The Verilog machine in Verilator: a shared library around the reference memory model, called by ctypes.

The interface is `rtl/sim/vla_api.h`; building and caching is `rtl_build.py`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_isa import timing
from vla_isa.cost import REFERENCE
from vla_isa.errors import ProgramError
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import ErrorCode
from vla_isa.program import Program
from vla_isa.registers import COUNTERS
from vlarun.backends.base import Integers, RunResult, entry_packet, place_inputs, take_outputs
from vlarun.backends.rtl_build import build
from vlarun.errors import BackendError, MachineError

__all__ = ["RtlBackend", "RtlOptions"]

Bytes = NDArray[np.int8]

# the watchdog gives a run so many times the cycles that the performance model expects, and some more
PATIENCE, LEAST_CYCLES, UNKNOWN_CYCLES = 20, 1_000_000, 10_000_000


@dataclass(frozen=True)
class RtlOptions:
    """The reference memory model and the watchdog.

    Attributes:
        latency: cycles from a read address to its first beat, and to a write's answer.
        outstanding: bursts a master may have in flight.
        stall_percent: how often the memory withholds a ready or valid, 0..90.
        stall_seed: seed of the stalls.
        max_cycles: the run is given up after so many cycles; None: after many times what the performance
            model expects.
    """

    latency: int = 64
    outstanding: int = 8
    stall_percent: int = 0
    stall_seed: int = 0
    max_cycles: int | None = None

    def limit(self, program: Program, entry: str | None) -> int:
        """Cycles after which a run is given up."""
        if self.max_cycles is not None:
            return self.max_cycles
        memory = replace(REFERENCE, read_latency=self.latency, write_latency=self.latency)
        try:
            expected = timing.estimate(program, entry, replace(memory, bursts_in_flight=self.outstanding)).total_cycles
        except ProgramError:  # it deadlocks or meets an illegal packet, and the machine says so
            expected = UNKNOWN_CYCLES
        return LEAST_CYCLES + PATIENCE * expected * 100 // max(1, 100 - self.stall_percent)


class _Options(ctypes.Structure):
    _fields_ = [
        ("start_packet", ctypes.c_uint32),
        ("latency", ctypes.c_uint32),
        ("outstanding", ctypes.c_uint32),
        ("stall_percent", ctypes.c_uint32),
        ("stall_seed", ctypes.c_uint64),
        ("max_cycles", ctypes.c_uint64),
    ]


class _Result(ctypes.Structure):
    _fields_ = [
        ("done", ctypes.c_uint32),
        ("status", ctypes.c_uint32),
        ("halt_code", ctypes.c_uint32),
        ("timed_out", ctypes.c_uint32),
        ("error_addr", ctypes.c_uint64),
        ("counters", ctypes.c_uint64 * 32),
    ]


@cache
def _library(path: Path) -> ctypes.CDLL:
    """The loaded library with its signatures."""
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as e:
        raise BackendError(f"the Verilated machine {path} cannot be loaded: {e}; remove it and run again") from e
    pointer, size = ctypes.c_void_p, ctypes.c_uint64
    lib.vla_create.restype, lib.vla_create.argtypes = pointer, []
    lib.vla_destroy.restype, lib.vla_destroy.argtypes = None, [pointer]
    lib.vla_run.restype = ctypes.c_int
    lib.vla_run.argtypes = [pointer, pointer, size, pointer, size, ctypes.POINTER(_Options), ctypes.POINTER(_Result)]
    lib.vla_message.restype, lib.vla_message.argtypes = ctypes.c_char_p, [pointer]
    for name in ("vla_peek_act", "vla_peek_weight", "vla_peek_param"):
        function = getattr(lib, name)
        function.restype, function.argtypes = ctypes.c_int, [pointer, pointer, size]
    return lib


class RtlBackend:
    """Runs programs on the Verilated machine of their config."""

    name = "rtl"

    def __init__(self, options: RtlOptions | None = None, flavour: str = "fast") -> None:
        self.options = options or RtlOptions()
        self._flavour = flavour
        self._known: tuple[Program, str | None, int] | None = None  # the last program's watchdog

    def run(self, program: Program, inputs: Integers, entry: str | None = None) -> RunResult:
        """See `Backend.run`.

        Raises:
            BackendError: the machine cannot be built or loaded.
            MachineError: the watchdog stopped it, or it broke the AXI protocol or an assertion.
        """
        lib = _library(build(program.config, self._flavour))
        data = place_inputs(program, inputs)
        weights = np.ascontiguousarray(program.weights)
        o, limit = self.options, self._limit(program, entry)
        options = _Options(entry_packet(program, entry), o.latency, o.outstanding, o.stall_percent, o.stall_seed, limit)
        result = _Result()
        handle = lib.vla_create()
        try:
            code = lib.vla_run(
                handle,
                data.ctypes.data,
                data.size,
                weights.ctypes.data,
                weights.size,
                ctypes.byref(options),
                ctypes.byref(result),
            )
            if code != 0:
                raise MachineError(f"the Verilated machine misbehaved: {lib.vla_message(handle).decode()}")
            if result.timed_out or not result.done:
                raise MachineError(f"the Verilated machine was not done after {limit} cycles and was stopped")
            memories = {"data": data, **_peek(lib, handle, program.config)}
        finally:
            lib.vla_destroy(handle)
        counters = {name: int(result.counters[i]) for i, (name, _) in enumerate(COUNTERS)}
        status = ErrorCode(result.status)
        return RunResult(
            outputs=take_outputs(program, data),
            status=status,
            error_address=int(result.error_addr),
            halt_code=int(result.halt_code),
            cycles=counters["cycles"],
            counters=counters,
            memories=memories,
            message="" if status is ErrorCode.OK else status.name.lower().replace("_", " "),
        )

    def _limit(self, program: Program, entry: str | None) -> int:
        if self._known is None or self._known[0] is not program or self._known[1] != entry:
            self._known = (program, entry, self.options.limit(program, entry))
        return self._known[2]


def _peek(lib: ctypes.CDLL, handle: int, hw: HardwareConfig) -> dict[str, Bytes]:
    """The on-chip memories after the run, int8 [words, bytes]."""
    shapes = {
        "act": (hw.act_words, hw.act_word_bytes),
        "weight": (hw.weight_words, hw.weight_word_bytes),
        "param": (hw.param_words, hw.param_word_bytes),
    }
    out = {name: np.empty(shape, np.int8) for name, shape in shapes.items()}
    for name, memory in out.items():
        if getattr(lib, f"vla_peek_{name}")(handle, memory.ctypes.data, memory.size) != 0:
            raise MachineError(f"the Verilated machine does not give its {name} memory; the harness is out of date")
    return out
