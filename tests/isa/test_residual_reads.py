"""How long results of the array wait for what is read for them, where a count of banks says it."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa.residual_reads import Strip, strips_of, waiting, waits

COUNT = 100  # strips


def strips(operands: tuple[int, ...], banks: tuple[int, ...], count: int = COUNT) -> tuple[Strip, ...]:
    """So many strips of four groups of one entry each."""
    return ((operands, (((banks,), 0),) * 4),) * count


def test_other_banks_cost_nothing() -> None:
    assert waiting(strips((0xFF,) * 4, (8, 9, 10, 11))) == 0


def test_operands_that_come_seldom_cost_little() -> None:
    """A strip of one step: its bank is free in three cycles of four, and a lane needs it in one of four. Only the first
    16 strips, for which there is room, follow each other.
    """
    seldom = ((1,), tuple((((bank,),), 0) for bank in range(4)))
    assert waiting((seldom,) * COUNT) <= 20


def test_one_bank_serves_one_at_a_time() -> None:
    """400 operands and 400 words of one bank take 800 cycles, 400 more than alone; queues hold some of both."""
    assert 340 <= waiting(strips((1,) * 4, (0,))) <= 440


def test_more_of_the_same_wait_longer() -> None:
    few, many = (waits(n, 4, 4, lambda numbers: strips((1,) * 4, (0,), len(numbers))) for n in (128, 1280))
    assert many == pytest.approx(10 * few, rel=0.15)


@pytest.mark.parametrize("operands", [(1,) * 40, (1,) * 20 + (2,) * 20, (1, 2) * 6])
def test_strips_that_are_not_looked_at(operands: tuple[int, ...]) -> None:
    """They wait as those that are."""
    count = 400
    all_of_them = waiting(strips(operands, (0, 1), count))
    some = waits(count, len(operands), 4, lambda numbers: strips(operands, (0, 1), len(numbers)))
    assert some == pytest.approx(all_of_them, rel=0.05, abs=10)


def test_a_group_waits_for_both_its_planes() -> None:
    """Four lanes read in turn for one plane of each group, the first or the second."""
    late = ((0,) * 4, ())
    low, high = (((1,) * 4, ((entries, 0),) * 2) for entries in (late, late[::-1]))
    assert waiting((low,) * COUNT) == pytest.approx(waiting((high,) * COUNT), abs=1)
    assert waiting((low,) * COUNT) > 100


def test_strips_of_words() -> None:
    """Five pixels in groups of four, two planes, a word of maxima behind them; a group without pixels is none."""
    operands = np.arange(8).reshape(1, 1, 8)
    reads = np.full((1, 3, 2, 4), -1)
    reads[0, 0, 0], reads[0, 0, 1] = np.arange(16, 20), np.arange(22, 26)
    reads[0, 1, 0, 0] = 20
    ((banks, groups),) = strips_of(operands, reads, np.array([1]))
    assert banks == (0xFF,)
    assert groups == ((((0, 1, 2, 3), (6, 7, 8, 9)), 1), (((4,), ()), 1))
