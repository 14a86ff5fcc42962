"""T2: seeded random legal programs of several instructions, each also under another legal schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import TABLE
from vla_isa.operands import Arena, Rng
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.schedules import reschedule
from vlarun.conformance.operations import Operation, make_operation
from vlarun.conformance.programs import Case, operation_program

__all__ = ["cases", "random_program"]

# each as often as its operands say; those of one engine before COPY, which has no queue of its own
DRAWN = tuple(
    (ins.name, ins.operands)
    for ins in sorted(TABLE, key=lambda i: bool(i.queues))
    if ins.operands is not None
    for _ in range(ins.operands.often)
)


def cases(
    hw: HardwareConfig, programs: int, seed: int, runs: Callable[[Packet], bool] = lambda packet: True
) -> Iterator[Case]:
    """Two cases per program: as built, and rescheduled; of packets that the machine `runs`."""
    for number in range(programs):
        program = random_program(np.random.default_rng([seed, number]), hw, runs)
        yield Case(f"T2.{seed}.{number:04d}", program)
        other = reschedule(program, seed=number)
        yield Case(f"T2.{seed}.{number:04d}.rescheduled", other, original=program)


def random_program(rng: Rng, hw: HardwareConfig, runs: Callable[[Packet], bool] = lambda packet: True) -> Program:
    """Two to eight instructions over one arena; some inputs lie over earlier outputs."""
    arena = Arena(hw)
    operations: list[Operation] = []
    for _ in range(int(rng.integers(2, 9))):
        name, operands = DRAWN[int(rng.integers(0, len(DRAWN)))]
        one = make_operation(name, rng, arena)
        while not runs(one.packet):
            name, operands = DRAWN[int(rng.integers(0, len(DRAWN)))]
            one = make_operation(name, rng, arena)
        values = dict(one.packet.values)
        for base in operands.inputs:
            output = values[operands.output]
            if values.get(base, output) < output and rng.random() < 0.6:  # a lower base keeps clear of the output
                values[base] = int(rng.integers(0, values[base] + 1))
        operations.append(replace(one, packet=replace(one.packet, values=values)))
    return operation_program(operations)
