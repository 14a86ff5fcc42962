"""A world that breaks its contract is refused with level, seed and step, in collecting and in playing."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_datasets.demonstrate import demonstrate
from vla_datasets.errors import WorldError
from vla_datasets.worlds.babyai.environment import BabyAI
from vla_datasets.worlds.babyai.expert import expert
from vla_datasets.worlds.babyai.schema import IMAGE, SCHEMA
from vla_datasets.worlds.episode import WorldEpisode
from vla_datasets.worlds.registry import WorldSpec

SEED = 7
Answer = tuple[Any, ...]


def _world(change: Callable[[Answer], Any]) -> type[BabyAI]:
    def step(self: BabyAI, action: Any, elapsed: float = 0.0) -> Any:
        return change(BabyAI.step(self, action, elapsed))

    return type("Odd", (BabyAI,), {"step": step})


def _seen(**changes: Any) -> Callable[[Answer], Answer]:
    return lambda answer: ({**answer[0], **changes}, *answer[1:])


def _info(**changes: Any) -> Callable[[Answer], Answer]:
    return lambda answer: (*answer[:4], {**answer[4], **changes})


def _boom(answer: Answer) -> Answer:
    raise RuntimeError("the simulator is gone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda answer: answer[:4], "step does not return observation, reward, terminated, truncated and info"),
        (lambda answer: (*answer[:4], {}), "the info of a step has no 'success' and 'score'"),
        (lambda answer: (answer[0][IMAGE], *answer[1:]), "an observation is ndarray, not a dictionary with 'task'"),
        (_info(score=float("nan")), "the score is nan"),
        (lambda answer: (answer[0], float("inf"), *answer[2:]), "the reward is inf"),
    ],
)
def test_an_answer_in_another_form(change: Callable[[Answer], Any], message: str) -> None:
    episode = WorldEpisode(_world(change)("GoToObj"), SEED)
    with pytest.raises(WorldError, match=rf"{message} \(level 'GoToObj', seed {SEED}, step 1\)"):
        episode.step(0)


def test_an_episode_that_does_not_end() -> None:
    world = _world(lambda a: (a[0], 0.0, False, False, {"success": False, "score": 0.0}))("GoToObj")
    episode = WorldEpisode(world, SEED)
    with pytest.raises(WorldError, match=r"has not ended after 64 steps, its 'max_steps' \(.* step 64\)"):
        while True:
            episode.step(0)


def test_an_error_of_the_world_stays_and_says_where() -> None:
    episode = WorldEpisode(_world(_boom)("GoToObj"), SEED)
    with pytest.raises(RuntimeError, match="the simulator is gone") as caught:
        episode.step(0)
    assert caught.value.__notes__ == [f"In the world, level 'GoToObj', seed {SEED}, step 0."]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_seen(**{IMAGE: np.zeros((50, 56, 3), np.uint8)}), r"is uint8 \[50, 56, 3\]; the world's schema says uint8"),
        (_seen(**{IMAGE: np.zeros((56, 56, 3), np.float32)}), r"is float32 \[56, 56, 3\]; the world's schema says"),
        (_seen(**{IMAGE: np.zeros((56, 56), np.uint8)}), r"is uint8 \[56, 56\]"),
        (lambda answer: ({"task": "go to"}, *answer[1:]), f"a frame has no '{IMAGE}'"),
    ],
)
def test_a_frame_that_the_schema_does_not_hold_is_not_collected(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Answer], Any], message: str
) -> None:
    odd = types.ModuleType("odd")
    odd.World, odd.expert, odd.SCHEMA = _world(change), expert, SCHEMA  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "odd", odd)
    spec = WorldSpec("odd", "", ("GoToObj",), "odd:World", "odd:expert", "odd:SCHEMA")
    with pytest.raises(WorldError, match=message):
        demonstrate(spec, spec.make("GoToObj"), 0, 0)
