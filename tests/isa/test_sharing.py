"""Shared resources of the performance model: work goes on at the rate that others leave."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from vla_isa.sharing import Sharing

MAC, VEC, LOAD = 2, 3, 1


def test_alone_work_takes_its_time() -> None:
    sharing = Sharing()
    assert sharing.finish("banks", VEC, 100, 50) == 150
    sharing.take("banks", VEC, 0, 1000, 0.9)  # its own queue does not slow it
    sharing.take("master", MAC, 0, 1000, 0.9)  # nor does another resource
    assert sharing.finish("banks", VEC, 100, 50) == 150


@pytest.mark.parametrize(
    ("begin", "work", "end"),
    [
        (0, 50, 50),  # over before the other begins
        (0, 100, 100),
        (0, 150, 200),  # half speed from 100 to 300
        (120, 90, 300),
        (120, 100, 310),
        (300, 10, 310),
        (150, 0, 150),
    ],
)
def test_half_speed_beside_another(begin: int, work: int, end: int) -> None:
    sharing = Sharing()
    sharing.take("banks", MAC, 100, 300, 0.5)
    assert sharing.finish("banks", VEC, begin, work) == end


def test_several_others_and_a_stop() -> None:
    sharing = Sharing()
    sharing.take("master", LOAD, 0, 100, 0.5)
    sharing.take("master", MAC, 50, 100, 0.25)
    assert sharing.finish("master", VEC, 0, 25 + 12) == 98
    assert sharing.finish("master", VEC, 100, 5) == 105
    sharing = Sharing()
    sharing.take("master", LOAD, 10, 30, 1.0)
    assert sharing.finish("master", VEC, 0, 20) in range(39, 41)  # a trickle goes on, so that work ends


def test_against_a_walk_cycle_by_cycle() -> None:
    rng = random.Random(5)
    for _ in range(50):
        sharing, left = Sharing(), [Fraction(1)] * 400
        for _ in range(rng.randint(1, 5)):
            begin, share = rng.randrange(200), Fraction(rng.randint(1, 3), 16)
            end = begin + rng.randint(1, 100)
            sharing.take("banks", MAC, begin, end, float(share))
            left[begin:end] = [x - share for x in left[begin:end]]
        at, work = rng.randrange(150), rng.randint(1, 60)
        done, now = Fraction(0), at
        while done < work:
            done, now = done + max(left[now], Fraction(1, 20)), now + 1
        assert sharing.finish("banks", VEC, at, work) == now
