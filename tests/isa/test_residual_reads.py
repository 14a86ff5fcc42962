"""How long results of a GEMM wait for what is read for them, where a count of banks says it."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa import hardware
from vla_isa.residual_reads import Reads, Strip, waiting

COUNT = 100  # strips


def strips(operands: tuple[int, ...], banks: tuple[int, ...]) -> tuple[Strip, ...]:
    """So many strips of four entries each."""
    return ((operands, (banks,) * 4),) * COUNT


def test_other_banks_cost_nothing() -> None:
    assert waiting(strips((0xFF,) * 4, (8, 9, 10, 11)), 4 * COUNT) == 0


def test_operands_that_come_seldom_cost_little() -> None:
    """A strip of one step: its bank is free in three cycles of four, and a lane needs it in one of four. Only the first
    16 strips, for which there is room, follow each other.
    """
    assert waiting(((((1,), ((0,), (1,), (2,), (3,))),) * COUNT), 4 * COUNT) <= 20


def test_one_bank_serves_one_at_a_time() -> None:
    """400 operands and 400 words of one bank take 800 cycles, 400 more than alone; queues hold some of both."""
    assert 340 <= waiting(strips((1,) * 4, (0,)), 4 * COUNT) <= 440


def test_more_of_the_same_wait_longer() -> None:
    seen = strips((1,) * 4, (0,))
    assert waiting(seen, 40 * COUNT) == pytest.approx(10 * waiting(seen, 4 * COUNT), abs=10)


def test_entries_of_a_batch() -> None:
    """Five pixels in groups of four, three blocks of two planes, one word of maxima for each group behind them."""
    hw = hardware.load("u50")
    first = np.array([[16, 17, 18, 19, 20, -1, -1, -1]])
    operands = np.arange(8).reshape(1, 1, 8)
    reads = Reads(operands, first, pitch=3, read=2, written=2, items=1)
    assert reads.entries(3, hw) == 2 * (3 * 2 + 1)
    found = reads.strips(3, hw.requant_pixels)
    assert [len(entries) for _, entries in found] == [4, 4, 6]
    assert found[1][1] == ((6, 7, 8, 9), (9, 10, 11, 12), (10,), (13,))
    assert found[2][1][2] == ()
