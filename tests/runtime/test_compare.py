"""compare: equal backends agree; a difference is found, named and blamed on the packet that makes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hand_program import good_inputs, make_program

from vla_isa.encoding import make_packet
from vla_isa.hardware import load
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.backends import RunResult, SimBackend
from vlarun.backends.base import Integers, Loaded
from vlarun.backends.sim import SimOptions
from vlarun.compare import compare
from vlarun.conformance.programs import Builder
from vlarun.execute import EXECUTORS
from vlarun.inputs import to_integers
from vlarun.memory import Machine


class Faulty(SimBackend):
    """A sim whose executor of one instruction writes a wrong byte, or whose result is changed at the end."""

    def __init__(self, op: str = "", space: str = "", where: tuple[int, ...] = ()) -> None:
        super().__init__(SimOptions(native=False))
        self.op, self.space, self.where, self.runs = op, space, where, 0

    def load(self, program: Program) -> Loaded:
        return FaultyProgram(super().load(program), self)


class FaultyProgram(Loaded):
    def __init__(self, right: Loaded, fault: Faulty) -> None:
        self.right, self.fault = right, fault

    def run(self, inputs: Sequence[Integers], entry: str | None = None, *, memories: bool = False) -> list[RunResult]:
        fault = self.fault
        fault.runs += 1
        right = EXECUTORS.get(fault.op)

        def wrong(packet: Packet, machine: Machine) -> None:
            assert right is not None
            right(packet, machine)
            machine.act[fault.where] += 1

        with pytest.MonkeyPatch.context() as patch:
            if right is not None:
                patch.setitem(EXECUTORS, fault.op, wrong)
            (result,) = self.right.run(inputs, entry, memories=memories)
        if fault.space == "halt":
            result.halt_code = 99
        elif fault.space:
            result.outputs[fault.space][fault.where] += 1
            result.memories = {}
        return [result]


def first_difference(faulty: Faulty) -> str:
    program = make_program()
    difference = compare(program, (SimBackend(), faulty), to_integers(program, good_inputs()))
    assert difference is not None
    return difference.message(("sim", "other"))


@pytest.mark.parametrize(
    ("op", "where", "expected"),
    [
        ("VEC", (203, 1), ["after packet 2 (VEC, vec, node 'Add_0'), act memory (1 words)", "word 203, byte 1"]),
        ("VEC", (3000, 0), ["after packet 2 (VEC", "word 3000, byte 0: sim has 0, other has 1"]),
        ("COPY", (3, 0), ["after packet 0 (COPY, load)", "word 3"]),
    ],
)
def test_the_packet_is_found(op: str, where: tuple[int, ...], expected: list[str]) -> None:
    message = first_difference(Faulty(op, where=where))
    for text in expected:
        assert text in message


def test_few_runs_are_enough() -> None:
    faulty = Faulty("VEC", where=(203, 1))
    first_difference(faulty)
    assert faulty.runs <= 1 + 3  # six packets


def test_results_without_memories() -> None:
    message = first_difference(Faulty(space="sum", where=(0, 2, 1, 3)))
    assert message.startswith("output 'sum' (1 of 90 elements) differs at index [0, 2, 1, 3]")
    assert "halt_code: sim has 4, other has 99" in first_difference(Faulty(space="halt"))


def test_equal() -> None:
    program = make_program()
    assert compare(program, (SimBackend(), SimBackend()), to_integers(program, good_inputs())) is None


def test_a_loop_is_found() -> None:
    """A run is not cut inside a body; what differs there is blamed on its last packet."""
    b = Builder(load("tiny"))
    b.load_act(np.ones((40, 8), np.int8))
    vec = {"out_h": 1, "out_w": 4, "b_kind": 3, "a_mult": 1, "b_mult": 1, "a_ring": 1, "out_ring": 1, "hi": 127}
    address = b.loop(lambda: b.add(make_packet("VEC", out_base=100, **vec)), 3)
    b.store_act(0, 10)
    b.halt()
    difference = compare(b.build(), (SimBackend(), Faulty("VEC", where=(30, 1))), {})
    assert difference is not None
    number = address // 64
    assert f"after packet {number + 3} (" in difference.message(("sim", "other"))
    assert "word 30, byte 1: sim has 1, other has 4" in difference.message(("sim", "other"))
