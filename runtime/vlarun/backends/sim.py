"""The bit-accurate Python machine: executes packets one at a time in program order.

That order is a program's meaning, so a packet that finds a semaphore at zero would wait for ever here:
DEADLOCK. Cycles come from the performance model, `vla_isa.timing`, not from running.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import decode, illegal
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import LARGEST_COUNT, SEMAPHORES, Move
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends.base import Backend, Integers, Loaded, RunResult, entry_packet, place_inputs, take_outputs
from vlarun.errors import DataSpaceError, MachineError
from vlarun.execute import EXECUTORS
from vlarun.memory import Machine, WeightCache, load_data

__all__ = ["SimBackend", "SimOptions"]

_legality = lru_cache(maxsize=1 << 16)(illegal)
_decoded = lru_cache(maxsize=1 << 16)(decode)


class _StopError(Exception):
    """The machine stops with an error code."""

    def __init__(self, status: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class _Sequencer:
    """Fetch and semaphores: which packet comes next and whether it may start."""

    machine: Machine
    address: int
    semaphores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(SEMAPHORES, np.int64))
    executed: int = 0

    def fetch(self) -> Packet:
        """The packet at the current address.

        Raises:
            _StopError: outside the data space, or refused by dispatch.
        """
        data, at = self.machine.data, self.address
        if at + PACKET_BYTES > data.size:
            raise _StopError(ErrorCode.AXI_READ, "fetch left the data space; is there no HALT?")
        raw = data[at : at + PACKET_BYTES].tobytes()
        status, reason = _legality(raw, self.machine.hw)
        if status is not ErrorCode.OK:
            raise _StopError(status, reason)
        return _decoded(raw)

    def step(self, packet: Packet) -> None:
        """Take its semaphores, execute, signal.

        Raises:
            _StopError: it would wait for ever, left the data space, or a semaphore overflows.
        """
        wait, signal = _bits(packet["wait"]), _bits(packet["signal"])
        if (self.semaphores < wait).any():
            empty = np.flatnonzero(self.semaphores < wait)
            raise _StopError(ErrorCode.DEADLOCK, f"{packet.name} waits for semaphore {empty[0]}, which is zero")
        self.semaphores -= wait
        self.machine.address = self.address
        try:
            EXECUTORS[packet.name](packet, self.machine)
        except DataSpaceError as e:
            write = packet.name == "COPY" and packet["move"] == Move.ACT_TO_DATA
            raise _StopError(ErrorCode.AXI_WRITE if write else ErrorCode.AXI_READ, str(e)) from e
        self.executed += 1
        if (self.semaphores + signal > LARGEST_COUNT).any():
            raise _StopError(ErrorCode.SEMAPHORE_OVERFLOW, f"{packet.name} signals a semaphore past {LARGEST_COUNT}")
        self.semaphores += signal
        if packet.name == "HALT" and self.semaphores.any():
            left = int(np.flatnonzero(self.semaphores)[0])
            raise _StopError(
                ErrorCode.SEMAPHORE_LEFT,
                f"semaphore {left} is {self.semaphores[left]} at HALT; every semaphore must be zero",
            )
        self.address = packet["target"] * LINE_BYTES if packet.name == "JUMP" else self.address + PACKET_BYTES


@dataclass(frozen=True)
class SimOptions:
    """`max_packets`: the watchdog; a program this long loops."""

    max_packets: int = 10_000_000


class SimBackend(Backend):
    """Runs programs in Python."""

    name = "sim"

    def __init__(self, options: SimOptions | None = None) -> None:
        self.options = options or SimOptions()

    def load(self, program: Program) -> Loaded:
        """See `Backend.load`."""
        return _SimProgram(program, self.options)


class _SimProgram(Loaded):
    """A program, the data space it starts with, and weights rearranged by earlier runs."""

    def __init__(self, program: Program, options: SimOptions) -> None:
        self.program, self._options = program, options
        self._image, self._cache = load_data(program), WeightCache()

    def run(self, inputs: Sequence[Integers], entry: str | None = None, *, memories: bool = False) -> list[RunResult]:
        """See `Loaded.run`.

        Raises:
            MachineError: the watchdog counted more than `max_packets` packets.
        """
        start = entry_packet(self.program, entry)
        return [self._run_once(each, start, memories) for each in inputs]

    def _run_once(self, inputs: Integers, start: int, memories: bool) -> RunResult:
        data = place_inputs(self.program, inputs, self._image.copy())
        machine = Machine(self.program.config, data, self.program.weights, self._cache)
        sequencer = _Sequencer(machine, start * PACKET_BYTES)
        status, message, halt_code = ErrorCode.OK, "", 0
        try:
            halt_code = self._until_halt(sequencer)
        except _StopError as e:
            status, message = e.status, str(e)
        kept = {"data": data, "act": machine.act, "weight": machine.weight, "param": machine.param.view(np.int8)}
        return RunResult(
            outputs=take_outputs(self.program, data),
            status=status,
            message=message,
            halt_code=halt_code,
            error_address=sequencer.address if status is not ErrorCode.OK else 0,
            counters={"packets": sequencer.executed},
            memories=kept if memories else {},
        )

    def _until_halt(self, sequencer: _Sequencer) -> int:
        most = self._options.max_packets
        while sequencer.executed <= most:
            packet = sequencer.fetch()
            sequencer.step(packet)
            if packet.name == "HALT":
                return packet["code"]
        raise MachineError(f"the program ran {most} packets without reaching HALT; a JUMP probably loops")


def _bits(mask: int) -> NDArray[np.int64]:
    return (mask >> np.arange(SEMAPHORES)) & 1
