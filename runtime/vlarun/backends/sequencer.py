"""Dispatch and semaphores in program order: which packet comes next, whether it may start, and how a run ends.

Program order is a program's meaning, so a packet that finds a semaphore at zero would wait for ever here: DEADLOCK.
Not here: what a packet does (`execute/`), preparing a whole program (`sim_plan.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import decode, illegal
from vla_isa.errors import IndexRangeError
from vla_isa.fetch import Fetch, indexed, item_value
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import LARGEST_COUNT, SEMAPHORES, SetSource
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vlarun.errors import DataSpaceError, MachineError
from vlarun.memory import Machine

__all__ = ["Ending", "Sequencer"]

_legality = lru_cache(maxsize=1 << 16)(illegal)
_decoded = lru_cache(maxsize=1 << 16)(decode)


@dataclass(frozen=True)
class Ending:
    """How a run ends: see `RunResult`; `packets` were executed."""

    status: ErrorCode
    message: str
    halt_code: int
    error_address: int
    packets: int


class _StopError(Exception):
    """The machine stops with an error code."""

    def __init__(self, status: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.status = status


class Sequencer:
    """Runs a machine from a packet on.

    Args:
        machine: its memories.
        start: byte address of the first packet.
        execute: does what a packet does to the memories.
    """

    def __init__(self, machine: Machine, start: int, execute: Callable[[Packet], None]) -> None:
        self._machine, self._execute = machine, execute
        self._at, self.executed = Fetch(start), 0
        self._semaphores = np.zeros(SEMAPHORES, np.int64)

    @property
    def address(self) -> int:
        """Byte address of the packet that runs, or comes next."""
        return self._at.address

    @property
    def looping(self) -> bool:
        """Whether that packet is in a loop."""
        return bool(self._at.loops)

    def run(self, most: int) -> Ending:
        """Until HALT or an error.

        Raises:
            MachineError: the watchdog counted more than `most` packets.
        """
        try:
            while self.executed <= most:
                packet = self._fetch()
                self._step(packet)
                if packet.name == "HALT":
                    return Ending(ErrorCode.OK, "", packet["code"], 0, self.executed)
        except _StopError as e:
            return Ending(e.status, str(e), 0, self.address, self.executed)
        raise MachineError(f"the program ran {most} packets without reaching HALT; a JUMP probably loops")

    def _fetch(self) -> Packet:
        """The packet at the current address.

        Raises:
            _StopError: outside the data space, or refused by dispatch.
        """
        data, at = self._machine.data, self.address
        if at + PACKET_BYTES > data.size:
            raise _StopError(ErrorCode.AXI_READ, "fetch left the data space; is there no HALT?")
        raw = data[at : at + PACKET_BYTES].tobytes()
        status, reason = _legality(raw, self._machine.hw)
        if status is not ErrorCode.OK:
            raise _StopError(status, reason)
        packet = _decoded(raw)
        refusal = self._at.refusal(packet)
        if refusal:
            raise _StopError(ErrorCode.FIELD_LIMIT, refusal)
        try:
            values = self._at.values(packet)
        except IndexRangeError as e:
            raise _StopError(ErrorCode.INDEX_RANGE, str(e)) from e
        return packet if values is None else indexed(packet, values.start)

    def _step(self, packet: Packet) -> None:
        """Take its semaphores, execute, signal.

        Raises:
            _StopError: it would wait for ever, left the data space, or a semaphore overflows.
        """
        wait, signal = _bits(packet["wait"]), _bits(packet["signal"])
        if (self._semaphores < wait).any():
            empty = np.flatnonzero(self._semaphores < wait)
            raise _StopError(ErrorCode.DEADLOCK, f"{packet.name} waits for semaphore {empty[0]}, which is zero")
        self._semaphores -= wait
        self._machine.address = self.address
        item = None
        try:
            self._execute(packet)
            if packet.name == "SET" and packet["source"] == SetSource.ITEM:
                item = item_value(packet, self._machine.item_at(packet["base"]))
        except DataSpaceError as e:
            write = packet.queue == "store"
            raise _StopError(ErrorCode.AXI_WRITE if write else ErrorCode.AXI_READ, str(e)) from e
        except IndexRangeError as e:
            raise _StopError(ErrorCode.INDEX_RANGE, str(e)) from e
        self.executed += 1
        if (self._semaphores + signal > LARGEST_COUNT).any():
            raise _StopError(ErrorCode.SEMAPHORE_OVERFLOW, f"{packet.name} signals a semaphore past {LARGEST_COUNT}")
        self._semaphores += signal
        if packet.name == "HALT" and self._semaphores.any():
            left = int(np.flatnonzero(self._semaphores)[0])
            raise _StopError(
                ErrorCode.SEMAPHORE_LEFT,
                f"semaphore {left} is {self._semaphores[left]} at HALT; every semaphore must be zero",
            )
        self._at.advance(packet, item)


def _bits(mask: int) -> NDArray[np.int64]:
    return (mask >> np.arange(SEMAPHORES)) & 1
