"""The bit-accurate machine in software.

A program whose way does not depend on its data is planned once and executed by the native library, for many inputs at
once; any other, and every program where there is no library, is interpreted packet by packet in numpy. Cycles come
from the performance model, `vla_isa.timing`, not from running.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_isa.fields import PACKET_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends.base import (
    Backend,
    Integers,
    Loaded,
    RunResult,
    checked,
    entry_line,
    place_inputs,
    take_outputs,
    tensor_bytes,
)
from vlarun.backends.sequencer import Ending, Sequencer
from vlarun.backends.sim_plan import Plan, State, make_plan
from vlarun.execute import EXECUTORS
from vlarun.memory import Bytes, Machine, WeightCache, load_data
from vlarun.native import library, pack_into, unpack

__all__ = ["SimBackend", "SimOptions"]

MOST_AT_ONCE, MEMORY_BYTES = 32, 1 << 28  # inputs that go through a packet together, and what they may take


@dataclass(frozen=True)
class SimOptions:
    """How `sim` runs.

    Attributes:
        max_packets: the watchdog; a program this long loops.
        native: use the native library where it can be had.
    """

    max_packets: int = 10_000_000
    native: bool = True


class SimBackend(Backend):
    """Runs programs in software."""

    name = "sim"

    def __init__(self, options: SimOptions | None = None) -> None:
        self.options = options or SimOptions()

    def load(self, program: Program) -> Loaded:
        """See `Backend.load`."""
        return _SimProgram(program, self.options)


class _SimProgram(Loaded):
    """A program, the data space it starts with, and what its entry points do."""

    def __init__(self, program: Program, options: SimOptions) -> None:
        self.program, self._options = program, options
        self._image, self._cache = load_data(program), WeightCache()
        self._library = library() if options.native else None
        self._plans: dict[int, Plan | None] = {}  # by the entry point's packet; None: it has to be interpreted
        self._state: State | None = None
        self._one_at_a_time = threading.Lock()  # runs share the state, and the library runs without Python's lock
        hw = program.config
        each = self._image.size + hw.act_words * hw.act_word_bytes + hw.weight_words * hw.weight_word_bytes
        self.most_at_once = max(1, min(MOST_AT_ONCE, MEMORY_BYTES // each)) if self._library else 1

    def run(self, inputs: Sequence[Integers], entry: str | None = None, *, memories: bool = False) -> list[RunResult]:
        """See `Loaded.run`.

        Raises:
            MachineError: the watchdog counted more than `max_packets` packets.
        """
        start, inputs = entry_line(self.program, entry), checked(self.program, inputs)
        plan = self._plan(start)
        if plan is None:
            return [self._interpret(each, start, memories) for each in inputs]
        results: list[RunResult] = []
        for first in range(0, len(inputs), self.most_at_once):
            with self._one_at_a_time:
                results += self._execute(plan, inputs[first : first + self.most_at_once], start, memories)
        return results

    def prepare(self, entry: str | None = None) -> None:
        """See `Loaded.prepare`."""
        self._plan(entry_line(self.program, entry))

    def _plan(self, start: int) -> Plan | None:
        if start not in self._plans:
            most = self._options.max_packets
            self._plans[start] = make_plan(self.program, self._image, start, most) if self._library else None
        return self._plans[start]

    def close(self) -> None:
        """See `Loaded.close`."""
        self._plans, self._state = {}, None

    def _execute(self, plan: Plan, inputs: Sequence[Integers], start: int, memories: bool) -> list[RunResult]:
        """Run a plan on some inputs at once; those on which it fails run again, packet by packet."""
        if self._state is None or not self._state.serves(plan, len(inputs)):
            self._state = State(self._image, self.program.config, len(inputs), plan)
        state = self._state
        state.reset(plan)
        for each, data in zip(inputs, state.data, strict=False):
            for tensor in self.program.inputs:
                pack_into(tensor_bytes(data, tensor), each[tensor.name], tensor.layout, tensor.zero_point)
        plan.run(state, len(inputs))
        param, results = plan.machine.param.view(np.int8), []
        for number, each in enumerate(inputs):
            data, act = state.data[number], state.act[number].reshape(plan.machine.act.shape)
            if state.failed[number]:
                results.append(self._interpret(each, start, memories))
                continue
            kept = {"data": data, "act": act, "weight": plan.weights(state, number), "param": param} if memories else {}
            outputs = {t.name: unpack(tensor_bytes(data, t), t.layout) for t in self.program.outputs}
            results.append(self._result(plan.ending, outputs, kept))
        return results

    def _interpret(self, inputs: Integers, start: int, memories: bool) -> RunResult:
        """Run packet by packet in numpy."""
        data = place_inputs(self.program, inputs, self._image.copy())
        machine = Machine(self.program.config, data, self.program.weights, self._cache)

        def execute(packet: Packet) -> None:
            EXECUTORS[packet.name](packet, machine)

        ending = Sequencer(machine, start * PACKET_BYTES, execute).run(self._options.max_packets)
        kept = {"data": data, "act": machine.act, "weight": machine.weight, "param": machine.param.view(np.int8)}
        return self._result(ending, take_outputs(self.program, data), kept if memories else {})

    def _result(self, ending: Ending, outputs: dict[str, Bytes], memories: dict[str, Bytes]) -> RunResult:
        return RunResult(
            outputs=outputs,
            status=ending.status,
            message=ending.message,
            halt_code=ending.halt_code if ending.status is ErrorCode.OK else 0,
            error_address=ending.error_address,
            counters={"packets": ending.packets},
            memories={name: memory.copy() for name, memory in memories.items()},
        )
