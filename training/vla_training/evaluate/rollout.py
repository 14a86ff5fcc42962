"""Play one BabyAI episode with a policy, or play recorded actions again to see what the policy saw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.babyai.environment import Environment
from vla_models.babyai_cnn.preprocess import Preprocessor
from vla_training.errors import EvaluationError
from vla_training.evaluate.runners import Runner

__all__ = ["EpisodeResult", "Moment", "play", "replay"]


@dataclass(frozen=True)
class EpisodeResult:
    """One evaluated episode. Success: the environment gave a reward within its own step limit."""

    seed: int
    mission: str
    success: bool
    actions: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As stored in evaluation files."""
        return {**asdict(self), "actions": list(self.actions)}


@dataclass(frozen=True)
class Moment:
    """One step of a replayed episode: the room from above, what the policy got, and what it did."""

    room: npt.NDArray[np.uint8]
    view: npt.NDArray[np.uint8]
    inputs: dict[str, npt.NDArray[np.float32]]
    action: int


def play(environment: Environment, runner: Runner, seed: int) -> EpisodeResult:
    """One closed-loop episode: the action is the largest logit (the first of equal ones)."""
    image = environment.reset(seed)
    preprocessor = Preprocessor()
    preprocessor.reset(environment.mission)
    actions: list[int] = []
    done, reward = False, 0.0
    while not done:
        logits = runner(preprocessor.inputs(image))
        if not np.isfinite(logits).all():
            raise EvaluationError(f"Seed {seed}, step {len(actions)}: the policy's logits are {logits}.")
        action = int(np.argmax(logits))
        preprocessor.acted(action)
        actions.append(action)
        image, reward, done = environment.step(action)
    return EpisodeResult(seed, environment.mission, reward > 0, tuple(actions))


def replay(environment: Environment, seed: int, actions: Sequence[int]) -> Iterator[Moment]:
    """The moments of an episode whose actions are known; no policy is run."""
    image = environment.reset(seed)
    preprocessor = Preprocessor()
    preprocessor.reset(environment.mission)
    for action in actions:
        yield Moment(environment.render(), image, preprocessor.inputs(image), action)
        preprocessor.acted(action)
        image, _, _ = environment.step(action)
