"""Play one episode with the scripted expert and keep what the policy would have seen."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from vla_datasets.errors import CollectError
from vla_datasets.worlds.babyai.environment import Environment

__all__ = ["FIRST_EVALUATION_SEED", "Demonstration", "collect_demonstration", "episode_seed"]

FIRST_EVALUATION_SEED = 2**30  # evaluation uses this seed and the following ones
_MAX_ATTEMPTS = 20


@dataclass(frozen=True)
class Demonstration:
    """One successful episode, one entry per step; images are PNG bytes, seen before the action."""

    seed: int
    mission: str
    images: tuple[bytes, ...]
    actions: tuple[int, ...]
    rewards: tuple[float, ...]


def episode_seed(base: int, episode: int, attempt: int = 0) -> int:
    """Environment seed of one episode: depends only on its arguments, never on workers or order.

    Always below `FIRST_EVALUATION_SEED`, so no evaluation episode has ever been demonstrated.
    """
    return int(np.random.SeedSequence([base, episode, attempt]).generate_state(1)[0]) % FIRST_EVALUATION_SEED


def collect_demonstration(environment: Environment, base: int, episode: int) -> Demonstration:
    """The demonstration of slot `episode`; layouts on which the bot fails are replaced by the next attempt's.

    Raises:
        CollectError: the bot failed on every attempt, so the level is not one it can solve.
    """
    for attempt in range(_MAX_ATTEMPTS):
        demonstration = _play(environment, episode_seed(base, episode, attempt))
        if demonstration is not None:
            return demonstration
    raise CollectError(
        f"BabyAIBot failed {_MAX_ATTEMPTS} times running on level '{environment.level}' (episode {episode}); "
        "choose a level that it solves, for example GoToLocal."
    )


def _play(environment: Environment, seed: int) -> Demonstration | None:
    image = environment.reset(seed)
    mission = environment.mission
    bot = environment.bot()
    images: list[bytes] = []
    actions: list[int] = []
    rewards: list[float] = []
    done, action = False, None
    while not done:
        try:
            action = int(bot.replan(action))
        except Exception:  # the bot signals a dead end by failing asserts of many kinds
            return None
        images.append(_png(image))
        actions.append(action)
        image, reward, done = environment.step(action)
        rewards.append(reward)
    if rewards[-1] <= 0:
        return None
    return Demonstration(seed, mission, tuple(images), tuple(actions), tuple(rewards))


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()
