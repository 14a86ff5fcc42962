"""T2: seeded random legal programs of several instructions, each also under another legal schedule; and random loops,
each beside the program without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vla_isa.encoding import encode
from vla_isa.generated.codes import IndexSide
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import TABLE
from vla_isa.operands import Arena, Rng
from vla_isa.program import Program, Segment
from vla_isa.schedules import reschedule
from vla_isa.trace import walk
from vlarun.conformance.operations import Operation, make_operation
from vlarun.conformance.programs import Builder, Case, copy_packet, load_operands, operation_program

__all__ = ["cases", "random_loops", "random_program", "unrolled"]

LOOPS, ROUNDS = 4, 6  # one program in so many has loops, each of fewer rounds

# each as often as its operands say; those of one engine before COPY, which has no queue of its own
DRAWN = tuple(
    (ins.name, ins.operands)
    for ins in sorted(TABLE, key=lambda i: bool(i.queues))
    if ins.operands is not None
    for _ in range(ins.operands.often)
)


def cases(hw: HardwareConfig, programs: int, seed: int) -> Iterator[Case]:
    """Two cases per program: as built, and rescheduled."""
    for number in range(programs):
        program = random_program(np.random.default_rng([seed, number]), hw)
        yield Case(f"T2.{seed}.{number:04d}", program)
        other = reschedule(program, seed=number)
        yield Case(f"T2.{seed}.{number:04d}.rescheduled", other, original=program)
    for number in range(programs // LOOPS):
        program = random_loops(np.random.default_rng([seed, number, 1]), hw)
        yield Case(f"T2.{seed}.{number:04d}.loops", program, original=unrolled(program))


def unrolled(program: Program) -> Program:
    """The packets that a program with loops dispatches, in their order, without LOOP."""
    packets = (s.packet for s in walk(program, 0) if s.packet.name != "LOOP")
    return replace(program, heaps=[Segment(0, b"".join(map(encode, packets)))])


def random_loops(rng: Rng, hw: HardwareConfig) -> Program:
    """Random instructions and indexed moves in one loop or two, over one arena that is stored at the end."""
    arena, builder = Arena(hw), Builder(hw)
    drawn = [_operation(rng, arena) for _ in range(int(rng.integers(1, 4)))]
    load_operands(builder, drawn)
    free, size = arena.act, int(rng.integers(4, 12))
    step = int(rng.integers(0, size))
    registers = rng.permutation(4)[:2].tolist()

    def moves(register: int, rounds: int) -> None:
        side = int(rng.integers(0, 2))
        index = {"index_enable": 1, "index_register": register, "index_count": rounds, "index_stride": step}
        places = {"src": int(rng.integers(0, free)), "dst": free + size}
        if side == IndexSide.SRC:  # its last words lie behind the arena
            places["dst"] += ROUNDS * size
        builder.add(copy_packet("act_to_act", n0=size, index_side=side, **places, **index))

    def inner() -> None:
        builder.add(drawn[-1].packet)
        moves(registers[1], ROUNDS)

    def outer() -> None:
        for one in drawn[:-1]:
            builder.add(one.packet)
        moves(registers[0], ROUNDS)
        if rng.random() < 0.6:
            builder.loop(inner, int(rng.integers(1, ROUNDS)), registers[1])
        moves(registers[0], ROUNDS)

    builder.loop(outer, int(rng.integers(1, ROUNDS)), registers[0])
    builder.store_act(0, free + 4 * ROUNDS * size)
    builder.halt()
    return builder.build()


def _operation(rng: Rng, arena: Arena) -> Operation:
    name, _ = DRAWN[int(rng.integers(0, len(DRAWN)))]
    return make_operation(name, rng, arena)


def random_program(rng: Rng, hw: HardwareConfig) -> Program:
    """Two to eight instructions over one arena; some inputs lie over earlier outputs."""
    arena = Arena(hw)
    operations: list[Operation] = []
    for _ in range(int(rng.integers(2, 9))):
        name, operands = DRAWN[int(rng.integers(0, len(DRAWN)))]
        one = make_operation(name, rng, arena)
        values = dict(one.packet.values)
        for base in operands.inputs:
            output = values[operands.output]
            if values.get(base, output) < output and rng.random() < 0.6:  # a lower base keeps clear of the output
                values[base] = int(rng.integers(0, values[base] + 1))
        operations.append(replace(one, packet=replace(one.packet, values=values)))
    return operation_program(operations)
