"""The Verilog machine in Verilator, or someone else's machine: a shared library called by ctypes.

The interface is `rtl/sim/vla_api.h`, loaded by `rtl_library.py`; building and caching is `rtl_build.py`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from vlarun.backends.base import Backend, Integers, Loaded, RunResult, checked, entry_line, place_inputs, take_outputs
from vlarun.backends.rtl_build import build
from vlarun.backends.rtl_library import PEEKS, MachineLibrary, Options, Result, load, load_foreign
from vlarun.errors import BackendError, MachineError
from vlarun.memory import load_data

__all__ = ["RtlBackend", "RtlOptions"]

Bytes = NDArray[np.int8]

# the watchdog gives a run so many times the cycles that the performance model expects, and some more
PATIENCE, LEAST_CYCLES, UNKNOWN_CYCLES = 20, 1_000_000, 10_000_000


@dataclass(frozen=True)
class RtlOptions:
    """The machine, the reference memory model and the watchdog.

    Attributes:
        library: a shared library that implements vla_api.h, in place of our own machine.
        flavour: of our own machine, see `rtl_build.FLAVOURS`.
        latency: cycles from a read address to its first beat, and to a write's answer.
        outstanding: bursts a master may have in flight.
        stall_percent: how often the memory withholds a ready or valid, 0..90.
        stall_seed: seed of the stalls.
        max_cycles: the run is given up after so many cycles; None: after many times what the performance
            model expects.
    """

    library: str | Path | None = None
    flavour: str = "fast"
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


class RtlBackend(Backend):
    """Runs programs on the Verilated machine of their config, or on someone else's machine."""

    name = "rtl"

    def __init__(self, options: RtlOptions | None = None) -> None:
        self.options = options or RtlOptions()

    def machine(self, hw: HardwareConfig) -> MachineLibrary:
        """The library that runs programs for a config; our own is built where the cache does not have it.

        Raises:
            BackendError: it cannot be built or loaded, or is another machine than the config.
        """
        own = self.options.library is None
        library = load(build(hw, self.options.flavour)) if own else load_foreign(Path(str(self.options.library)))
        library.check_config(hw)
        return library

    def load(self, program: Program) -> Loaded:
        """See `Backend.load`; sources are hashed, and a machine is built where there is none, here only.

        Raises:
            BackendError: see `machine`.
        """
        return _RtlProgram(program, self.machine(program.config), self.options)


class _RtlProgram(Loaded):
    """A program and its machine."""

    counts_cycles = True

    def __init__(self, program: Program, machine: MachineLibrary, options: RtlOptions) -> None:
        self.program = program
        self._machine, self._options = machine, options
        self._data, self._weights = load_data(program), np.ascontiguousarray(program.weights)
        self._limits: dict[str | None, int] = {}  # of the watchdog, by entry point

    def run(self, inputs: Sequence[Integers], entry: str | None = None, *, memories: bool = False) -> list[RunResult]:
        """See `Loaded.run`.

        Raises:
            MachineError: the watchdog stopped it, it broke the AXI protocol or an assertion, or its answer is
                none that vla_api.h knows.
        """
        if entry not in self._limits:
            self._limits[entry] = self._options.limit(self.program, entry)
        return [self._run_once(each, entry, memories) for each in checked(self.program, inputs)]

    def _run_once(self, inputs: Integers, entry: str | None, memories: bool) -> RunResult:
        start = entry_line(self.program, entry)
        data = place_inputs(self.program, inputs, self._data.copy())
        lib = self._machine.functions
        handle = lib.vla_create()
        if not handle:
            raise BackendError(f"vla_create of {self._machine.path} gives no machine")
        try:
            result = self._call(handle, data, start, self._limits[entry])
            on_chip = _peek(self._machine, handle, self.program.config) if memories else {}
        finally:
            lib.vla_destroy(handle)
        counters = {name: int(result.counters[i]) for i, (name, _) in enumerate(COUNTERS)}
        status = ErrorCode(result.status)
        return RunResult(
            outputs=take_outputs(self.program, data),
            status=status,
            error_address=int(result.error_addr),
            halt_code=int(result.halt_code),
            cycles=counters["cycles"],
            cycles_from="machine",
            counters=counters,
            memories={"data": data, **on_chip} if memories else {},
            message="" if status is ErrorCode.OK else status.name.lower().replace("_", " "),
        )

    def _call(self, handle: int, data: Bytes, start_packet: int, limit: int) -> Result:
        """`vla_run`, with its answer checked."""
        lib, o, weights, result = self._machine.functions, self._options, self._weights, Result()
        options = Options(start_packet, o.latency, o.outstanding, o.stall_percent, o.stall_seed, limit)
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
            message = (lib.vla_message(handle) or b"it does not say how").decode(errors="replace")
            raise MachineError(f"the machine misbehaved: {message}")
        if result.timed_out or not result.done:
            raise MachineError(f"the machine was not done after {limit} cycles and was stopped")
        if result.status not in set(ErrorCode):
            raise MachineError(f"the machine ended with status {result.status}, which is no error code")
        return result


def _peek(machine: MachineLibrary, handle: int, hw: HardwareConfig) -> dict[str, Bytes]:
    """The on-chip memories that the machine shows after the run, int8 [words, bytes]."""
    shapes = {
        "act": (hw.act_words, hw.act_word_bytes),
        "weight": (hw.weight_words, hw.weight_word_bytes),
        "param": (hw.param_words, hw.param_word_bytes),
    }
    out = {name: np.empty(shapes[name], np.int8) for name in machine.peeks}
    for name, memory in out.items():
        if getattr(machine.functions, PEEKS[name])(handle, memory.ctypes.data, memory.size) != 0:
            raise MachineError(f"{PEEKS[name]} of {machine.path} fails; with shows_memories 0 it is not called")
    return out
