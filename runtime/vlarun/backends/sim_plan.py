"""What a program does from an entry point, worked out once: which packets run, how it ends, and their prepared steps.

Packets, semaphores, parameters and weights do not depend on the inputs as long as nothing that packets compute
reaches the heaps, the constants that become parameters, or the weights. Then the way through the program is a straight
line, and so is every address. A program for which that is not so has no plan, and is interpreted (`sim.py`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access
from vla_isa.errors import ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.footprint import footprint
from vla_isa.generated.codes import GatherIndex, SetSource
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends.sequencer import Ending, Sequencer
from vlarun.errors import MachineError
from vlarun.execute import EXECUTORS
from vlarun.memory import Bytes, Machine
from vlarun.native import Memory, NativeStep, Step, library, make_step

__all__ = ["Plan", "State", "make_plan"]

MOST_PACKETS = 100_000  # a longer program is not worth its plan
SCRATCH_BYTES = 1 << 19  # for the padded input of several inputs, as far as they stay in the cache
GAP = 64 * 67  # bytes between two inputs' memories, so that a place of both is not in one set of the cache
Spans = list[tuple[int, int]]


class State:
    """The memories of some inputs at once.

    Attributes:
        count: inputs that it has room for.
        act, data: int8 [count, bytes].
        scratch_bytes: for the library's own use.
    """

    def __init__(self, image: Bytes, hw: HardwareConfig, count: int, scratch_bytes: int) -> None:
        self.count, self.scratch_bytes, self._image = count, scratch_bytes, image
        act_bytes = hw.act_words * hw.act_word_bytes
        self._act = np.zeros((count, act_bytes + GAP), np.int8)
        self._data = np.zeros((count, image.size + GAP), np.int8)
        self._scratch = np.zeros(scratch_bytes + LINE_BYTES, np.int8)  # a vector may be read past the end
        self.act, self.data = self._act[:, :act_bytes], self._data[:, : image.size]
        self.data[:] = image
        self._written: tuple[Spans, Spans] = ([], [])

    def reset(self, plan: Plan) -> None:
        """Put back what the last run wrote, before a run of `plan`."""
        for start, end in self._written[0]:
            self.act[:, start:end] = 0
        for start, end in self._written[1]:
            self.data[:, start:end] = self._image[start:end]
        self._written = (plan.act, plan.data)

    def memory(self, count: int) -> Memory:
        """What the library takes, for the first `count` inputs."""
        return Memory(
            *(a.ctypes.data for a in (self._act, self._data, self._scratch)),
            *(self._act.shape[1], self._data.shape[1], self.scratch_bytes, count),
        )


@dataclass
class NumpyStep:
    """A packet that is executed in numpy, one input after the other, with the parameters and weights it finds."""

    packet: Packet
    param: NDArray[np.uint8]
    weight: Bytes


@dataclass
class Plan:
    """The steps from an entry point to the end.

    Attributes:
        parts: runs of steps of the library, and packets in numpy between them.
        ending: how the run ends.
        machine: has the weights and parameters of the end.
        act, data: bytes that the steps write, as spans; all others stay as they are before a run.
        scratch: bytes of scratch that the steps take.
        kept: the steps, which hold the arrays that `parts` point to.
    """

    parts: list[ctypes.Array[Step] | NumpyStep]
    ending: Ending
    machine: Machine
    act: Spans
    data: Spans
    scratch: int
    kept: list[NativeStep]

    def run(self, state: State, count: int) -> None:
        """Execute all steps on the first `count` inputs of a state."""
        memory, found = state.memory(count), library()
        assert found is not None  # without it there are no plans
        for part in self.parts:
            if isinstance(part, NumpyStep):
                for act, data in zip(state.act[:count], state.data, strict=False):
                    machine = Machine(self.machine.hw, data, self.machine.weight_space)
                    machine.act = act.reshape(machine.act.shape)
                    machine.param, machine.weight = part.param, part.weight
                    EXECUTORS[part.packet.name](part.packet, machine)
            else:
                found.vla_run(part, len(part), ctypes.byref(memory))


def make_plan(program: Program, image: Bytes, entry: int, most: int) -> Plan | None:
    """The plan from packet `entry` on, or None where there is none.

    Args:
        program: the program.
        image: its data space before a run, without inputs.
        entry: number of the first packet.
        most: packets after which the watchdog stops a run.
    """
    try:
        return _Planner(program, image).plan(entry, min(most, MOST_PACKETS))
    except (_NoPlanError, MachineError, ProgramError):  # it depends on data, is long, or has an operand that wraps
        return None


class _NoPlanError(Exception):
    """What the program does may depend on its inputs."""


class _Planner:
    """Walks through a program as it would run and prepares what it meets."""

    def __init__(self, program: Program, image: Bytes) -> None:
        self._machine = Machine(program.config, image.copy(), program.weights)
        self._computed = np.zeros(image.size // LINE_BYTES, np.bool_)  # lines that hold no constants, so far
        for tensor in program.inputs:
            self._computed[tensor.line : tensor.line + tensor.layout.lines] = True
        self._steps: list[NativeStep | NumpyStep] = []
        self._met: set[int] = set()  # addresses of packets
        self._written = {"act": np.zeros(program.config.act_words, np.bool_), "data": np.zeros_like(self._computed)}
        self._padded: NativeStep | None = None  # the step whose padded input is in the scratch memory
        self._found: tuple[NDArray[np.uint8], Bytes] | None = None  # parameters and weights, for steps in numpy
        found = library()
        assert found is not None
        self._groups = int(found.vla_groups())

    def plan(self, entry: int, most: int) -> Plan:
        """Walk from a packet on.

        Raises:
            _NoPlanError, ProgramError: there is no plan.
            MachineError: too many packets.
        """
        self._sequencer = Sequencer(self._machine, entry * PACKET_BYTES, self._add)
        ending = self._sequencer.run(most)
        native = [s for s in self._steps if isinstance(s, NativeStep)]
        word = self._machine.hw.act_word_bytes
        return Plan(
            list(_parts(self._steps)),
            ending,
            self._machine,
            _spans(self._written["act"], word),
            _spans(self._written["data"], LINE_BYTES),
            max([SCRATCH_BYTES, *(s.scratch for s in native)]),
            native,
        )

    def _add(self, packet: Packet) -> None:
        """Prepare one packet.

        Raises:
            _NoPlanError: its 64 bytes, or what it would write to parameters or weights, may depend on the inputs; or it
                is met again: a loop's plan would hold its steps once a round; or items say what comes, or moves; or it
                leaves the data space.
            ProgramError: an operand larger than its memory.
            DataSpaceError: it leaves the data space or the weight space.
        """
        address = self._sequencer.address
        if address in self._met or self._computed[address // LINE_BYTES] or _reads_items(packet):
            raise _NoPlanError
        self._met.add(address)
        made = make_step(packet, self._machine, self._groups)
        accesses = footprint(packet, self._machine.hw, self._machine.param)
        if any(a.space == "data" and a.words[-1, 1] > len(self._computed) for a in accesses):
            raise _NoPlanError
        if any(a.write and a.space in ("param", "weight") for a in accesses):
            self._do_now(packet, accesses)
            return
        if made is None:
            self._found = self._found or (self._machine.param.copy(), self._machine.weight.copy())
            self._steps.append(NumpyStep(packet, *self._found))
        for step in made or ():
            self._steps.append(step)
            if step.padded:
                step.what.same_input = self._padded is not None and self._padded.padded == step.padded
                self._padded = step
            elif step.scratch:
                self._padded = None
        for access in accesses:
            if access.write:
                self._mark(access)

    def _do_now(self, packet: Packet, accesses: list[Access]) -> None:
        """Load parameters or weights, which are constants, into the planner's own machine."""
        for access in accesses:
            if not access.write and access.space == "act":
                raise _NoPlanError
            lines = access.words if not access.write and access.space == "data" else ()
            if any(self._computed[start:end].any() for start, end in lines):
                raise _NoPlanError
        EXECUTORS[packet.name](packet, self._machine)
        self._found = None

    def _mark(self, access: Access) -> None:
        """Remember what a step writes."""
        written = self._written[access.space]
        for start, end in access.words:
            written[start:end] = True
            if end > len(written):  # it wraps
                written[:] = True
        if access.space == "data":
            self._computed |= written
        elif self._padded is not None and self._padded.reads(access.words * self._machine.hw.act_word_bytes):
            self._padded = None


def _reads_items(packet: Packet) -> bool:
    return (packet.name == "SET" and packet["source"] == SetSource.ITEM) or (
        packet.name == "GATHER" and packet["index_kind"] == GatherIndex.ITEMS
    )


def _parts(steps: list[NativeStep | NumpyStep]) -> Iterator[ctypes.Array[Step] | NumpyStep]:
    """Steps of the library that follow one another become one array."""
    for native, group in groupby(steps, key=lambda s: isinstance(s, NativeStep)):
        if not native:
            yield from (s for s in group if isinstance(s, NumpyStep))
            continue
        found = [Step(s.kind, ctypes.addressof(s.what)) for s in group if isinstance(s, NativeStep)]
        yield (Step * len(found))(*found)


def _spans(marked: NDArray[np.bool_], unit: int) -> Spans:
    """Runs of marked words, in bytes."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(start) * unit, int(end) * unit) for start, end in edges.reshape(-1, 2)]
