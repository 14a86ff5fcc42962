"""What a program does from an entry point, worked out once: which packets run, how it ends, and their prepared steps.

Packets, semaphores and parameters do not depend on the inputs as long as nothing that packets compute reaches the heaps
or the constants that become parameters. Then the way through the program is a straight line, loops unrolled, and so is
every address. A program for which that is not so has no plan, and is interpreted (`sim.py`), and so is an input on
which a plan fails: items outside their table. Weights may be computed; a word of the weight scratchpad then lies in the
memory of each input.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vla_isa.access import Access
from vla_isa.errors import IndexRangeError, ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.footprint import footprint
from vla_isa.generated.codes import Move, SetSource
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends.sequencer import Ending, Sequencer
from vlarun.errors import DataSpaceError, MachineError
from vlarun.execute import EXECUTORS
from vlarun.execute.copy import sides
from vlarun.memory import Bytes, Machine
from vlarun.native import Memory, NativeStep, Step, library, make_step

__all__ = ["Plan", "State", "make_plan"]

MOST_PACKETS = 100_000  # a longer program is not worth its plan
MOST_LOOPED = 20_000  # packets of loops, each in every round
SCRATCH_BYTES = 1 << 19  # for the padded input of several inputs, as far as they stay in the cache
GAP = 64 * 67  # bytes between two inputs' memories, so that a place of both is not in one set of the cache
Spans = list[tuple[int, int]]


class State:
    """The memories of some inputs at once.

    Attributes:
        count: inputs that it has room for.
        act, data: int8 [count, bytes].
        weight: the same, of weights that are computed; without bytes where a plan computes none.
        scratch_bytes: for the library's own use.
        failed: of each input, not 0 where items were outside their table; int64 [count].
    """

    def __init__(self, image: Bytes, hw: HardwareConfig, count: int, plan: Plan) -> None:
        self.count, self.scratch_bytes, self._image = count, plan.scratch, image
        act_bytes = hw.act_words * hw.act_word_bytes
        self._act = np.zeros((count, act_bytes + GAP), np.int8)
        self._data = np.zeros((count, image.size + GAP), np.int8)
        self._scratch = np.zeros(plan.scratch + LINE_BYTES, np.int8)  # a vector may be read past the end
        self.weight = np.zeros((count, plan.machine.weight.size if plan.own_weights else 0), np.int8)
        self.failed = np.zeros(count, np.int64)
        self.act, self.data = self._act[:, :act_bytes], self._data[:, : image.size]
        self.data[:] = image
        self._written: tuple[Spans, Spans] = ([], [])

    def serves(self, plan: Plan, count: int) -> bool:
        """Whether `plan` can run on it, on `count` inputs."""
        enough = self.count >= count and self.scratch_bytes >= plan.scratch
        return enough and (self.weight.size > 0 or not plan.own_weights)

    def reset(self, plan: Plan) -> None:
        """Put back what the last run wrote, before a run of `plan`; weights are written before they are read."""
        self.failed[:] = 0
        for start, end in self._written[0]:
            self.act[:, start:end] = 0
        for start, end in self._written[1]:
            self.data[:, start:end] = self._image[start:end]
        self._written = (plan.act, plan.data)

    def memory(self, count: int) -> Memory:
        """What the library takes, for the first `count` inputs."""
        return Memory(
            *(a.ctypes.data for a in (self._act, self._data, self.weight, self._scratch, self.failed)),
            *(self._act.shape[1], self._data.shape[1], self.weight.shape[1], self.scratch_bytes, count),
        )


@dataclass
class NumpyStep:
    """A packet that is executed in numpy, one input after the other, with the parameters it finds.

    Attributes:
        packet, param: what it does, and with what.
        weight: the weights that it finds; None: those of each input.
    """

    packet: Packet
    param: NDArray[np.uint8]
    weight: Bytes | None

    def run(self, state: State, count: int, machine: Machine) -> None:
        """Execute it on the first `count` inputs, with the data space of `machine`'s program."""
        for i, (act, data) in enumerate(zip(state.act[:count], state.data, strict=False)):
            own = Machine(machine.hw, data, machine.weight_space)
            own.act, own.param = act.reshape(machine.act.shape), self.param
            own.weight = state.weight[i].reshape(machine.weight.shape) if self.weight is None else self.weight
            try:
                EXECUTORS[self.packet.name](self.packet, own)
            except (IndexRangeError, DataSpaceError):
                state.failed[i] = 1


@dataclass
class WeightStep:
    """Constant weights, from word `start` on, that join computed ones."""

    start: int
    words: Bytes

    def run(self, state: State, count: int, machine: Machine) -> None:
        """Put them into the weight memory of each input."""
        first = self.start * machine.hw.weight_word_bytes
        state.weight[:count, first : first + self.words.size] = self.words.reshape(-1)


@dataclass
class Plan:
    """The steps from an entry point to the end.

    Attributes:
        parts: runs of steps of the library, and what is done in numpy between them.
        ending: how the run ends.
        machine: has the parameters of the end, and the weights that are not computed.
        computed: which words of the weight scratchpad each input has its own of at the end.
        own_weights: whether inputs have weights of their own at any time.
        act, data: bytes that the steps write, as spans; all others stay as they are before a run.
        scratch: bytes of scratch that the steps take.
        kept: the steps, which hold the arrays that `parts` point to.
    """

    parts: list[ctypes.Array[Step] | NumpyStep | WeightStep]
    ending: Ending
    machine: Machine
    computed: NDArray[np.bool_]
    own_weights: bool
    act: Spans
    data: Spans
    scratch: int
    kept: list[NativeStep]

    def run(self, state: State, count: int) -> None:
        """Execute all steps on the first `count` inputs of a state; `state.failed` then says on which it failed."""
        memory, found = state.memory(count), library()
        assert found is not None  # without it there are no plans
        for part in self.parts:
            if isinstance(part, NumpyStep | WeightStep):
                part.run(state, count, self.machine)
            else:
                found.vla_run(part, len(part), ctypes.byref(memory))

    def weights(self, state: State, number: int) -> Bytes:
        """The weight scratchpad of an input at the end, int8 [words, B*B]."""
        if not self.computed.any():
            return self.machine.weight
        own = state.weight[number].reshape(self.machine.weight.shape)
        return np.where(self.computed[:, None], own, self.machine.weight)


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
        self._steps: list[NativeStep | NumpyStep | WeightStep] = []
        self._met: set[int] = set()  # addresses of packets
        self._looped = 0  # packets of loops
        self._made: dict[bytes, list[NativeStep] | None] = {}  # steps of packets of loops, which come again
        self._weights = np.zeros(program.config.weight_words, np.bool_)  # words that are computed
        self._own_weights = False  # whether there ever were any
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
            self._weights,
            self._own_weights,
            _spans(self._written["act"], word),
            _spans(self._written["data"], LINE_BYTES),
            max([SCRATCH_BYTES, *(s.scratch for s in native)]),
            native,
        )

    def _add(self, packet: Packet) -> None:
        """Prepare one packet.

        Raises:
            _NoPlanError: its 64 bytes, or what it would write to parameters, may depend on the inputs; or it is met
                again outside a loop, or in long loops: a plan would hold its steps once a round; or an item becomes a
                register; or it leaves the data space.
            ProgramError: an operand larger than its memory.
            DataSpaceError: it leaves the data space or the weight space.
        """
        address, looping = self._sequencer.address, self._sequencer.looping
        self._looped += looping
        if (address in self._met and not looping) or self._computed[address // LINE_BYTES] or _reads_item(packet):
            raise _NoPlanError
        if self._looped > MOST_LOOPED:
            raise _NoPlanError
        self._met.add(address)
        if packet.name == "COPY":
            sides(packet, self._machine)  # refuses what leaves a space
        accesses = footprint(packet, self._machine.hw, self._machine.param)
        if any(a.space == "data" and a.words[-1, 1] > len(self._computed) for a in accesses):
            raise _NoPlanError
        puts = {a.space for a in accesses if a.write}
        if puts & {"param", "weight"} and not self._puts_weights(packet, accesses):
            self._do_now(packet, accesses)
            return
        computed = self._reads_computed(accesses)
        made = self._steps_of(packet, accesses, computed, looping)
        if made is None:
            self._found = self._found or (self._machine.param.copy(), self._machine.weight.copy())
            param, weight = self._found
            self._steps.append(NumpyStep(packet, param, None if computed or "weight" in puts else weight))
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

    def _puts_weights(self, packet: Packet, accesses: list[Access]) -> bool:
        """Whether it moves what may depend on the inputs into the weight scratchpad."""
        if packet.name != "COPY" or packet["move"] not in (Move.ACT_TO_WEIGHT, Move.DATA_TO_WEIGHT):
            return False
        sources = [a for a in accesses if not a.write]
        return any(a.space == "act" or any(self._computed[s:e].any() for s, e in a.words) for a in sources)

    def _reads_computed(self, accesses: list[Access]) -> bool:
        """Whether it reads computed weights; constant ones that it reads beside them join them."""
        if not self._own_weights:
            return False
        size = len(self._weights)
        words = [np.arange(s, e) % size for a in accesses if a.space == "weight" and not a.write for s, e in a.words]
        read = np.unique(np.concatenate(words)) if words else np.zeros(0, np.int64)
        constant = read[~self._weights[read]]
        if len(constant) == len(read):
            return False
        for run in np.split(constant, np.flatnonzero(np.diff(constant) > 1) + 1):
            if len(run):
                self._steps.append(WeightStep(int(run[0]), self._machine.weight[run].copy()))
        self._weights[constant] = True
        return True

    def _steps_of(
        self, packet: Packet, accesses: list[Access], computed: bool, looping: bool
    ) -> list[NativeStep] | None:
        """See `make_step`; a packet of a loop that finds what it found before gets the same steps."""
        if not looping:
            return make_step(packet, self._machine, self._groups, computed=computed)
        key = hashlib.blake2b(repr((self._sequencer.address, computed, packet.values)).encode())
        memories = {"param": self._machine.param, "weight": self._machine.weight}
        for access in accesses:
            memory = memories.get(access.space)
            if memory is not None and not access.write and not (computed and access.space == "weight"):
                for start, end in access.words:
                    key.update(memory[np.arange(start, end) % len(memory)])
        digest = key.digest()
        if digest not in self._made:
            self._made[digest] = make_step(packet, self._machine, self._groups, computed=computed)
        found = self._made[digest]
        return None if found is None else [step.copy() for step in found]

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
        for access in accesses:
            if access.write and access.space == "weight":
                for start, end in access.words:
                    self._weights[np.arange(start, end) % len(self._weights)] = False

    def _mark(self, access: Access) -> None:
        """Remember what a step writes."""
        if access.space == "weight":
            for start, end in access.words:
                self._weights[np.arange(start, end) % len(self._weights)] = True
            self._own_weights = True
            return
        written = self._written[access.space]
        for start, end in access.words:
            written[start:end] = True
            if end > len(written):  # it wraps
                written[:] = True
        if access.space == "data":
            self._computed |= written
        elif self._padded is not None and self._padded.reads(access.words * self._machine.hw.act_word_bytes):
            self._padded = None


def _reads_item(packet: Packet) -> bool:
    return packet.name == "SET" and packet["source"] == SetSource.ITEM


def _parts(
    steps: list[NativeStep | NumpyStep | WeightStep],
) -> Iterator[ctypes.Array[Step] | NumpyStep | WeightStep]:
    """Steps of the library that follow one another become one array."""
    for native, group in groupby(steps, key=lambda s: isinstance(s, NativeStep)):
        if not native:
            yield from (s for s in group if not isinstance(s, NativeStep))
            continue
        found = [Step(s.kind, ctypes.addressof(s.what)) for s in group if isinstance(s, NativeStep)]
        yield (Step * len(found))(*found)


def _spans(marked: NDArray[np.bool_], unit: int) -> Spans:
    """Runs of marked words, in bytes."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(start) * unit, int(end) * unit) for start, end in edges.reshape(-1, 2)]
