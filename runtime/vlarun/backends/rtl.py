"""The Verilog machine in Verilator, or someone else's machine: a shared library called by ctypes.

The interface is `rtl/sim/vla_api.h`, loaded by `rtl_library.py`; building and caching is `rtl_build.py`.
"""

from __future__ import annotations

import ctypes
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
from vlarun.backends.base import Integers, RunResult, entry_packet, place_inputs, take_outputs
from vlarun.backends.rtl_build import build
from vlarun.backends.rtl_library import PEEKS, MachineLibrary, Options, Result, load, load_foreign
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


class RtlBackend:
    """Runs programs on the Verilated machine of their config, or on someone else's machine.

    Args:
        options: the memory and the watchdog.
        flavour: of our own machine, see `rtl_build.FLAVOURS`.
        library: a shared library that implements vla_api.h, in place of our own machine.
    """

    name = "rtl"

    def __init__(
        self, options: RtlOptions | None = None, flavour: str = "fast", library: str | Path | None = None
    ) -> None:
        self.options = options or RtlOptions()
        self._flavour, self._library = flavour, None if library is None else Path(library)
        self._known: tuple[Program, str | None, int] | None = None  # the last program's watchdog

    def machine(self, hw: HardwareConfig) -> MachineLibrary:
        """The library that runs programs for a config; our own is built where the cache does not have it.

        Raises:
            BackendError: it cannot be built or loaded, or is another machine than the config.
        """
        library = load(build(hw, self._flavour)) if self._library is None else load_foreign(self._library)
        library.check_config(hw)
        return library

    def run(self, program: Program, inputs: Integers, entry: str | None = None) -> RunResult:
        """See `Backend.run`.

        Raises:
            BackendError: the machine cannot be built or loaded.
            MachineError: the watchdog stopped it, it broke the AXI protocol or an assertion, or its answer is
                none that vla_api.h knows.
        """
        machine = self.machine(program.config)
        lib = machine.functions
        data = place_inputs(program, inputs)
        limit = self._limit(program, entry)
        handle = lib.vla_create()
        if not handle:
            raise BackendError(f"vla_create of {machine.path} gives no machine")
        try:
            result = self._call(lib, handle, program, data, entry_packet(program, entry), limit)
            memories = {"data": data, **_peek(machine, handle, program.config)}
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

    def _call(
        self, lib: ctypes.CDLL, handle: int, program: Program, data: Bytes, start_packet: int, limit: int
    ) -> Result:
        """`vla_run`, with its answer checked."""
        o, weights, result = self.options, np.ascontiguousarray(program.weights), Result()
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

    def _limit(self, program: Program, entry: str | None) -> int:
        if self._known is None or self._known[0] is not program or self._known[1] != entry:
            self._known = (program, entry, self.options.limit(program, entry))
        return self._known[2]


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
