"""A machine that has run before: random registers at power-up, random bytes on chip, programs in a row without a reset,
also behind one that ended in an error. The data memory is that of the simulator each time.

The machine is the `checked` one, whose registers without a reset start random.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest
from programs import LOAD, STORE, copy, halt, program

from vla_isa import hardware
from vla_isa.instructions import ErrorCode
from vla_isa.program import Program
from vlarun.backends import SimBackend, run_once
from vlarun.backends.rtl import RtlBackend, RtlOptions
from vlarun.backends.rtl_library import Options, Result
from vlarun.conformance.random_cases import random_program
from vlarun.memory import load_data

TINY = hardware.load("tiny")
PAST = (1 << 17) // 64  # the first line behind the data space of `program`
ONE = {"n0": 64, "n1": 1, "n2": 1, "n3": 1}


class Board:
    """One machine that is never reset after its first run."""

    def __init__(self) -> None:
        self.lib = RtlBackend(RtlOptions(flavour="checked")).machine(TINY).functions
        self.lib.vla_test_leftovers.restype = None
        self.lib.vla_test_leftovers.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        self.handle, self.seed = self.lib.vla_create(), 0

    def run(self, p: Program) -> tuple[ErrorCode, np.ndarray]:
        """Status and data memory."""
        self.seed += 1
        self.lib.vla_test_leftovers(self.handle, self.seed)
        data, weights, result = load_data(p), np.ascontiguousarray(p.weights), Result()
        options = Options(next(iter(p.entries.values())), 64, 8, 20, 1, 3_000_000)
        sizes = (data.ctypes.data, data.size, weights.ctypes.data, weights.size)
        code = self.lib.vla_run(self.handle, *sizes, ctypes.byref(options), ctypes.byref(result))
        assert code == 0, self.lib.vla_message(self.handle)
        assert result.done and not result.timed_out
        return ErrorCode(result.status), data


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.lib.vla_destroy(board.handle)


def failing() -> list[tuple[Program, ErrorCode]]:
    """Programs that leave work behind: packets in queues, semaphores, reads ahead."""
    behind = [copy(STORE, wait=2) for _ in range(6)]
    return [
        (program(TINY, [copy(LOAD, signal=1), copy(LOAD, src=PAST, **ONE), *behind, halt()]), ErrorCode.AXI_READ),
        (program(TINY, [copy(LOAD, signal=4), copy(STORE, wait=8), *behind, halt()]), ErrorCode.DEADLOCK),
        (program(TINY, [copy(LOAD, signal=4), bytes(64), *behind, halt()]), ErrorCode.ILLEGAL_OPCODE),
        (program(TINY, [copy(LOAD, signal=4), halt()]), ErrorCode.SEMAPHORE_LEFT),
    ]


def test_programs_in_a_row(board: Board) -> None:
    """Sixteen, every third one behind an error."""
    ends = failing()
    for number in range(16):
        rng = np.random.default_rng([5, number])
        p = random_program(rng, TINY)
        status, data = board.run(p)
        assert status is ErrorCode.OK
        assert np.array_equal(data, run_once(SimBackend(), p, {}).memories["data"]), number
        if number % 3 == 2:
            bad, wanted = ends[number // 3 % len(ends)]
            assert board.run(bad)[0] is wanted
