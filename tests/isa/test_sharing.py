"""What queues take from each other: beats of in-master 0, banks of the scratchpad."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa.banks import Banks, Beats
from vla_isa.cost import Cost, Touches
from vla_isa.sharing import Sharing
from vla_isa.side_by_side import Use

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
    uses = [Use(i, LOAD, user(*u), 0) for i, u in enumerate(users)]
    assert Sharing().rates(0, uses) == pytest.approx(rates)


def test_work_that_shares_nothing() -> None:
    uses = [Use(0, WLOAD, Cost(9, "latency"), 0), Use(1, LOAD, user(1.0, 32.0), 0)]
    assert Sharing().rates(0, uses) == [1.0, 1.0]


def engine(count: int, done: int = 0) -> Use:
    """Four words in each of so many cycles."""

    def reads(part: float) -> Beats:
        words = np.arange(round(part * count), count)[:, None] * 4 + np.arange(4)
        return Beats.of(words, all=True)

    return Use(0, VEC, Cost(count, "compute", touches=Touches(reads=reads)), done)


def array(cycles: int, *, done: int = 0) -> Use:
    """Eight banks in a cycle, which alternate."""

    def banks(at: int) -> Banks:
        return tuple((0x00FF, 0xFF00)[now % 2] for now in range(at, min(cycles, at + 384)))

    return Use(1, MAC, Cost(cycles, "compute", touches=Touches(banks, lambda at: ())), done)


def test_beside_the_array() -> None:
    sharing = Sharing()
    assert sharing.rates(0, [engine(200), array(5000)]) == [pytest.approx(2 / 3, abs=0.02), 1.0]
    assert sharing.until == 0  # the end of the engine's work is in sight
    assert Sharing().rates(0, [engine(200)]) == [1.0]


def test_an_engine_goes_on_where_it_was() -> None:
    """The array ends when the engine has done a part of its work; what is left has its banks for itself."""
    sharing = Sharing()
    (before, _), work = sharing.rates(0, [engine(200), array(150)]), 200
    assert before < 1
    left = work - 150 * before
    (after,) = sharing.rates(150, [Use(0, VEC, engine(200).cost, 150 * before)])
    both = 150 + left / after
    assert both == pytest.approx(100 + 100 + 50, abs=12)  # 150 cycles at 2 of 3, then the other 100


def test_one_looks_again_at_long_work() -> None:
    sharing = Sharing()
    assert sharing.rates(10, [engine(3000), array(100000)])[0] == pytest.approx(2 / 3, abs=0.02)
    assert 10 + 384 <= sharing.until < 3000
