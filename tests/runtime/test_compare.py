"""compare: equal backends agree; a difference is found, named and blamed on the packet that wrote it."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import good_inputs, make_program

from vla_isa.program import Program
from vlarun.backends import RunResult, SimBackend
from vlarun.compare import compare
from vlarun.inputs import to_integers


class Faulty(SimBackend):
    """A sim whose result is changed in one place."""

    def __init__(self, space: str, where: tuple[int, ...]) -> None:
        super().__init__()
        self.space, self.where = space, where

    def run(self, program: Program, inputs: dict[str, np.ndarray], entry: str | None = None) -> RunResult:
        result = super().run(program, inputs, entry)
        if self.space == "halt":
            result.halt_code = 99
        else:
            {**result.outputs, **result.memories}[self.space][self.where] += 1
        return result


@pytest.mark.parametrize(
    ("space", "where", "expected"),
    [
        ("sum", (0, 2, 1, 3), ["output 'sum' (1 of 90 elements)", "index [0, 2, 1, 3]"]),
        ("act", (203, 1), ["act memory (1 words)", "word 203, byte 1", "packet 2 (VEC", "Add_0"]),
        ("act", (3, 0), ["word 3", "packet 0 (COPY"]),
        ("param", (0, 0), ["param memory", "word 0"]),
        ("halt", (), ["halt_code", "sim has 4, other has 99"]),
    ],
)
def test_first_difference(space: str, where: tuple[int, ...], expected: list[str]) -> None:
    program = make_program()
    inputs = to_integers(program, good_inputs())
    difference = compare(program, (SimBackend(), Faulty(space, where)), inputs)
    assert difference is not None
    message = difference.message(("sim", "other"))
    for text in expected:
        assert text in message


def test_equal() -> None:
    program = make_program()
    assert compare(program, (SimBackend(), SimBackend()), to_integers(program, good_inputs())) is None


def test_a_difference_in_the_data_space_blames_the_store() -> None:
    program = make_program()
    line = program.outputs[0].line * 64
    inputs = to_integers(program, good_inputs())
    difference = compare(program, (SimBackend(), Faulty("data", (line,))), inputs)
    assert difference is not None and difference.what.startswith("data memory")
    assert "packet 3 (COPY" in difference.writer
