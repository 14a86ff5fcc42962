"""The rover world: what its signals say alone, who is heard, what a run is worth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vla_datasets.errors import CollectError
from vla_datasets.worlds.registry import find_world
from vla_datasets.worlds.rover.names import HIGH, IMAGE, TELEMETRY

pytest.importorskip("panda3d")
SPEC = find_world("rover")


@contextlib.contextmanager
def world(level: str = "watched") -> Iterator[Any]:
    with contextlib.closing(SPEC.make(level)) as made:
        yield made


def run(made: Any, seed: int, action: Any = None) -> tuple[list[Any], dict[str, Any]]:
    """Observations and what was right to say, of a run in which one action, or the right one, is said."""
    seen, _ = made.reset(seed=seed)
    expert, found = SPEC.expert_of(made), []
    while True:
        found.append((seen, expert()))
        seen, _, terminated, truncated, info = made.step(expert() if action is None else action)
        if terminated or truncated:
            return found, info


def best_threshold(values: np.ndarray, wanted: np.ndarray) -> float:
    """The balanced accuracy of the best cut of one number."""
    order = wanted[np.argsort(values)]
    right, wrong = np.cumsum(order) / order.sum(), np.cumsum(~order) / (~order).sum()
    return float((1 + np.abs(right - wrong)).max() / 2)


def test_no_signal_decides_alone() -> None:
    with world() as made:
        moments = [moment for seed in range(100, 190) for moment in run(made, seed)[0]]
    said = np.array([right for _, right in moments])
    pictures = np.stack([seen[IMAGE] for seen, _ in moments]).astype(np.float32)
    signals = dict(enumerate(np.stack([seen[TELEMETRY] for seen, _ in moments]).T))
    halves = {"all": pictures, "upper": pictures[:, :48], "lower": pictures[:, 48:]}
    signals |= {f"{name} {c}": half[..., c].mean(axis=(1, 2)) for name, half in halves.items() for c in range(3)}
    for wanted in (said[:, 0] == HIGH, said[:, 0] > 1, said[:, 2] > 0):
        assert 20 < wanted.sum() < len(wanted) - 20
        for name, values in signals.items():
            assert best_threshold(values, wanted) < 0.75, name
    assert best_threshold(said[:, 0], said[:, 0] == HIGH) == 1.0


def test_the_same_picture_is_another_risk_at_another_speed() -> None:
    """And the same telemetry among other things: neither decides."""
    from vla_datasets.worlds.rover.outlook import look_ahead

    by_speed = by_ground = 0
    with world("watched+clear") as made:
        for seed in range(20):
            made.reset(seed=seed)
            slow, fast = (_outlook(made, v).said for v in (0.3, 2.0))
            by_speed += slow[0] != fast[0]
            ground, made.ground = made.ground, type(made.ground)((), (), (), ())
            by_ground += look_ahead(ground, made.motion).said[0] != look_ahead(made.ground, made.motion).said[0]
    assert by_speed >= 5 and by_ground >= 5


def _outlook(made: Any, v: float) -> Any:
    from vla_datasets.worlds.rover.outlook import look_ahead

    made.motion.wheel_v = v
    return look_ahead(made.ground, made.motion)


def test_on_watched_nobody_hears() -> None:
    with world() as made:
        (one, _), (other, _) = run(made, 3), run(made, 3, (0, 3, 2))
    assert len(one) == len(other)
    assert all(np.array_equal(a[0][IMAGE], b[0][IMAGE]) for a, b in zip(one, other, strict=True))


def test_who_says_go_on_has_missed_something() -> None:
    with world() as made:
        ends = [run(made, seed, (0, 3, 0))[1] for seed in range(12)]
    failed = [end for end in ends if not end["success"]]
    assert failed and all(end["failure"] == "said to touch something" and end["score"] < 1 for end in failed)


def test_on_heeded_what_is_said_is_done() -> None:
    with world("heeded") as made:
        told = [run(made, seed)[1]["success"] for seed in range(16)]
        deaf = [run(made, seed, (0, 3, 0))[1] for seed in range(16)]
        stands, _ = run(made, 1, (0, 3, 2))
    assert sum(told) > sum(end["success"] for end in deaf)
    assert "something was touched" in {end.get("failure") for end in deaf}
    assert abs(stands[-1][0][TELEMETRY][6]) < 0.2  # the wheels


def test_time_goes_on_while_somebody_thinks() -> None:
    with world() as made:
        made.reset(seed=1)
        made.step((0, 3, 0))
        at_once = made.motion.x
        made.reset(seed=1)
        made.step((0, 3, 0), elapsed=0.5)
        assert made.motion.x > at_once + 0.1


def test_unknown_levels_are_named() -> None:
    with pytest.raises(CollectError, match="Unknown rover level 'wached'; there are watched"):
        SPEC.make("wached")
