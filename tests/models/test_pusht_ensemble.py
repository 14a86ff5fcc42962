"""Temporal ensembling of the Push-T policies, against a table of all that was ever said of each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_datasets.keys import STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_models.chunks.names import ACTIONS
from vla_models.pusht.names import ACTION_UNIT
from vla_models.registry import find_policy

NAMES = ("mlp_policy", "pi_zero", "act")
STEPS, HORIZON = 40, 16
Floats = np.ndarray


def preprocessor(name: str, **options: Any) -> Any:
    spec = find_policy(name)
    return spec.preprocessor(spec.configured(options))


def seen(pusher: Floats) -> dict[str, Floats]:
    return {STATE: pusher, KEYPOINTS: np.full(16, 256.0, np.float32), GOAL: np.full(16, 200.0, np.float32)}


def moves(steps: int = STEPS) -> tuple[Floats, Floats]:
    """Where the pusher is at each step, and the chunk that the network then says, relative to it; all in the plane."""
    rng = np.random.default_rng(7)
    pusher = rng.uniform(150, 350, (steps, 2)).astype(np.float32)
    return pusher, rng.uniform(-1, 1, (steps, HORIZON, 2)).astype(np.float32)


def play(robot: Any, pusher: Floats, chunks: Floats) -> list[Floats]:
    found = []
    for place, chunk in zip(pusher, chunks, strict=True):
        robot.inputs(seen(place))
        found.append(robot.actions({ACTIONS: chunk[None]}))
    return found


def table_of(pusher: Floats, chunks: Floats, decay: float) -> Floats:
    """The action of each step: row s of the table holds what step s said of each step t, in the plane."""
    table = np.full((len(chunks), len(chunks) + HORIZON, 2), np.nan)
    for s, chunk in enumerate(chunks):
        table[s, s : s + HORIZON] = pusher[s].astype(np.float64) + ACTION_UNIT * chunk
    found = []
    for t in range(len(chunks)):
        said = table[~np.isnan(table[:, t, 0]), t]
        total = weight = 0.0
        for i, place in enumerate(said):
            total, weight = total + np.exp(-decay * i) * place, weight + np.exp(-decay * i)
        found.append(total / weight)
    return np.stack(found)


@pytest.mark.parametrize("decay", [0.01, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_one_action_of_all_that_was_said_of_now(name: str, decay: float) -> None:
    """Also where chunks have run out, and in the next episode, which begins alone."""
    robot = preprocessor(name, ensemble=decay, execute=4)
    pusher, chunks = moves()
    for _ in range(2):
        robot.reset("push")
        found = play(robot, pusher, chunks)
        assert all(action.shape == (1, 2) and action.dtype == np.float32 for action in found)
        wanted = table_of(pusher, chunks, decay)
        assert np.abs(np.concatenate(found) - wanted).max() < 1e-3
    plain = pusher + ACTION_UNIT * chunks[:, 0]
    assert np.allclose(found[0], plain[0]) and np.abs(wanted - plain)[1:].max() > 50, "it does something"


def test_older_chunks_count_more() -> None:
    """exp(-m i) with i = 0 for the oldest: with a large m it alone is done."""
    robot = preprocessor("pi_zero", ensemble=50.0)
    pusher, chunks = moves(HORIZON)
    found = np.concatenate(play(robot, pusher, chunks))
    assert np.allclose(found, pusher[0] + ACTION_UNIT * chunks[0], atol=1e-3)


def test_it_is_off_by_default() -> None:
    pusher, chunks = moves()
    for name in NAMES:
        found = play(preprocessor(name), pusher, chunks)
        assert np.allclose(found, pusher[:, None] + ACTION_UNIT * chunks[:, :4], atol=1e-3)


def test_the_mean_is_of_places_before_they_are_cut_off() -> None:
    robot = preprocessor("pi_zero", ensemble=0.1)
    pusher, chunks = moves(2)
    chunks[0], chunks[1] = 9.0, -9.0
    play(robot, pusher[:1], chunks[:1])
    (found,) = play(robot, pusher[1:], chunks[1:])
    weight = np.exp(-0.1)
    wanted = (pusher[0] + 900 + weight * (pusher[1] - 900)) / (1 + weight)
    assert np.allclose(found, wanted, atol=1e-3) and (np.abs(wanted - 256) < 256).all()
    assert np.array_equal(play(preprocessor("pi_zero", ensemble=0.1), pusher[:1], chunks[:1])[0], [[512.0, 512.0]])


def test_a_correction_ends_older_chunks() -> None:
    """Something else was done, so what they say of the steps behind it is of no use."""
    pusher, chunks = moves(6)
    robot = preprocessor("pi_zero", ensemble=0.01)
    play(robot, pusher[:3], chunks[:3])
    robot.correct(np.array([100.0, 120.0]))
    found = np.concatenate(play(robot, pusher[3:], chunks[3:]))
    assert np.allclose(found, table_of(pusher[3:], chunks[3:], 0.01), atol=1e-3)
