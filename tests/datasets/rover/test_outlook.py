"""What is right to say, of grounds made by hand: the times can be worked out on paper."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vla_datasets.worlds.rover.ground import Box, Ground, Passage, Patch, Person
from vla_datasets.worlds.rover.motion import Motion
from vla_datasets.worlds.rover.names import ACTIONS, REASONS, RISKS
from vla_datasets.worlds.rover.outlook import Outlook, look_ahead

GREY = (0.5, 0.5, 0.5)
NOTHING: dict[str, Any] = {"people": (), "boxes": (), "passages": (), "patches": ()}


def seen(v: float, w: float = 0.0, **there: Any) -> Outlook:
    return look_ahead(Ground(**{**NOTHING, **there}), Motion(wheel_v=v, wheel_w=w))


def words(outlook: Outlook) -> tuple[str, str, str]:
    risk, reason, action = outlook.said
    return RISKS[risk], REASONS[reason], ACTIONS[action]


def person(x: float, y: float = 0.0, vx: float = 0.0, vy: float = 0.0) -> tuple[Person, ...]:
    return (Person(x, y, vx, vy, 0),)


def test_nothing_there() -> None:
    assert words(seen(2.0)) == ("none", "unknown", "continue")
    assert words(seen(2.0, people=person(-1.5))) == ("none", "unknown", "continue")


@pytest.mark.parametrize(
    ("v", "risk", "action"), [(0.3, "none", "continue"), (0.5, "low", "slow"), (0.9, "medium", "slow")]
)
def test_the_same_place_at_another_speed_is_another_risk(v: float, risk: str, action: str) -> None:
    """0.65 m before its middle a person is touched: (2 - 0.65) / v seconds."""
    reason = "unknown" if risk == "none" else "human"
    assert words(seen(v, people=person(2.0))) == (risk, reason, action)
    assert seen(v, people=person(2.0)).touches[0] == pytest.approx((2 - 0.65) / v, abs=0.11) or risk == "none"


def test_people_are_where_they_will_be() -> None:
    crossing = person(3.0, 1.5, 0.0, -1.0)
    assert words(seen(2.0, people=crossing))[:2] == ("medium", "human")
    assert words(seen(2.0, people=person(3.0, 1.5, 0.0, 1.0)))[0] == "none"
    comes = seen(0.0, people=person(1.5, 0.0, -1.0))
    assert words(comes)[:2] == ("high", "human") and comes.touches[ACTIONS.index("reverse")] > comes.touches[0]


def test_a_box_in_front_is_turned_from_to_the_side_with_room() -> None:
    box, beside = Box(1.6, -0.2, 0.3, 0.5, GREY), Box(1.0, 1.4, 0.3, 0.5, GREY)
    assert words(seen(1.8, boxes=(box,))) == ("high", "obstacle", "turn_left")
    assert words(seen(1.8, boxes=(box, beside)))[2] != "turn_left"


def test_a_passage_is_free_tight_or_shut() -> None:
    found = [words(seen(1.5, passages=(Passage(1.0, 0.0, gap),))) for gap in (1.6, 1.0, 0.6)]
    assert found[0] == ("none", "unknown", "continue")
    assert found[1] == ("medium", "tight_space", "slow")
    assert found[2][:2] == ("high", "tight_space")  # 1 m before the walls, which are 0.35 m from its middle


@pytest.mark.parametrize("ice", [False, True])
def test_bad_ground_is_a_risk_of_the_fast(ice: bool) -> None:
    ground = (Patch(2.0, 0.0, 3.0, 3.0, ice),)
    assert words(seen(1.5, patches=ground)) == ("medium", "unknown", "slow")
    assert words(seen(0.5, patches=ground)) == ("low", "unknown", "continue")


def test_on_ice_the_wheels_are_faster_than_the_rover() -> None:
    import numpy as np

    ground = Ground(**{**NOTHING, "patches": (Patch(0.0, 0.0, 9.0, 9.0, True),)})
    motion = Motion(wheel_v=1.0, wheel_w=0.4)
    motion.move(1.0, 0.4, 0.5, ground)
    felt = motion.telemetry(np.random.default_rng(0))
    assert felt[6] == pytest.approx(1.0, abs=0.1) and felt[7] == pytest.approx(0.4, abs=0.1)
    assert felt[5] == pytest.approx(0.45 * 0.4, abs=0.1) and math.hypot(motion.x, motion.y) < 0.3


def test_what_hangs_by_a_hair_weighs_less() -> None:
    """A person at 2 m is touched after 1.35 m; looked at every tenth of a second, after 1.0 s, or 0.9 s if faster."""
    assert seen(1.45, people=person(2.0)).weight == 0.5
    assert seen(1.6, people=person(2.0)).weight == 1.0


def test_where_every_action_touches_none_is_missed() -> None:
    shut = tuple(Box(0.8 * math.cos(a / 4), 0.8 * math.sin(a / 4), 0.4, 1.0, GREY) for a in range(26))
    outlook = seen(1.5, boxes=shut)
    assert not any(outlook.missed(action) for action in range(6) if outlook.touches.max() < 1)
    free = seen(1.8, boxes=(Box(1.6, -0.2, 0.3, 0.5, GREY),))
    assert free.missed(ACTIONS.index("continue")) and not free.missed(int(free.said[2]))
