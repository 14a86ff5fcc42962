"""What queues take from each other: beats of in-master 0, banks of the scratchpad."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vla_isa.banks import Banks, Beats, banks_of, paces
from vla_isa.cost import Cost, Touches
from vla_isa.sharing import Sharing

MAC, VEC, LOAD, WLOAD = 2, 3, 1, 0


def user(share: float, burst: float) -> Cost:
    return Cost(100, "memory", share=share, burst=burst)


@pytest.mark.parametrize(
    ("users", "rates"),
    [
        ([(1.0, 32.0)], [1.0]),
        ([(0.4, 8.0), (0.5, 32.0)], [1.0, 1.0]),  # there is enough for both
        ([(1.0, 32.0), (1.0, 32.0)], [1 / 2, 1 / 2]),
        ([(1.0, 32.0), (1.0, 128.0)], [1 / 5, 4 / 5]),  # a burst of each in turn
        ([(0.1, 128.0), (1.0, 32.0), (1.0, 32.0)], [1.0, 0.45, 0.45]),  # who asks for little gets it
    ],
)
def test_bursts_of_one_master_in_turn(users: list[tuple[float, float]], rates: list[float]) -> None:
    works = [(i, LOAD, user(*u)) for i, u in enumerate(users)]
    assert Sharing().rates(works) == pytest.approx(rates)


def test_work_that_shares_nothing() -> None:
    assert Sharing().rates([(0, WLOAD, Cost(9, "latency")), (1, LOAD, user(1.0, 32.0))]) == [1.0, 1.0]


def lane_words(first: int, count: int, lanes: int) -> Beats:
    return Beats.of(first + np.arange(count)[:, None] * lanes + np.arange(lanes))


def test_engines_at_the_scratchpad() -> None:
    """The array reads eight banks, which alternate in every cycle; who copies four words in a cycle gets 2 of 3."""
    array: Banks = (0x00FF, 0xFF00)
    assert paces((), (lane_words(0, 400, 4),)) == (1.0,)
    assert paces(array, (lane_words(0, 400, 4),))[0] == pytest.approx(2 / 3, abs=0.02)
    still = paces((0x00FF,), (Beats.of(np.full((50, 1), 3)),))  # a bank that is never free
    assert still == (0.0,)
    assert paces((0x00FF,), (Beats.of(np.full((50, 1), 12)),)) == (1.0,)


def test_a_lower_lane_comes_first() -> None:
    """Two engines want one bank: each word in the first one's order, what is left for the second."""
    one, other = Beats.of(np.full((50, 1), 5)), Beats.of(np.full((50, 1), 21))
    assert paces((), (one, other)) == (1.0, 0.0)
    assert paces((), (one, one)) == (1.0, 1.0)  # the same word is read once for both


def test_beside_the_array_in_a_run() -> None:
    reads = Touches(reads=lambda: lane_words(0, 400, 4))
    array = Touches(operands=lambda: (0x00FF, 0xFF00), results=lambda: (0,))
    works = [(0, VEC, Cost(100, "compute", touches=reads)), (1, MAC, Cost(100, "compute", touches=array))]
    rates = Sharing().rates(works)
    assert rates == [pytest.approx(2 / 3, abs=0.02), 1.0]
    assert Sharing().rates(works[:1]) == [1.0]


def test_steps_of_the_array() -> None:
    """Words of one bank come one behind another; idle cycles stand in front of a strip's last step."""
    words = np.array([[0, 1, 2], [0, 16, 1], [5, -1, -1]])
    assert banks_of(words, 3, 0) == (0b111, 0b11, 0b1, 1 << 5)
    assert banks_of(words, 3, 2) == (0b111, 0b11, 0b1, 0, 0, 1 << 5)


@pytest.mark.parametrize("seed", range(10))
def test_a_lane_alone_against_a_walk(seed: int) -> None:
    """One lane whose engine takes a word in every cycle: each word waits for its bank to be free."""
    rng = random.Random(seed)
    array = tuple(rng.randrange(1 << 16) for _ in range(37))
    words = [rng.randrange(64) for _ in range(400)]
    granted, now = 0, 1
    while now < 300:
        granted += not array[now % 37] >> (words[granted % 384] % 16) & 1
        now += 1
    (pace,) = paces(array, (Beats.of(np.array(words[:384])[:, None]),))
    assert pace == pytest.approx(granted / 300, abs=0.06)
