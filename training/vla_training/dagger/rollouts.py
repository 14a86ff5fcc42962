"""Episodes that a learner plays and the expert labels, in blocks that are not played twice.

Not here: what becomes of them (`aggregate.py`), rounds (`rounds.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.blocks import write_block
from vla_datasets.demonstrate import stored_value
from vla_datasets.engine import ALONE, Engine
from vla_datasets.keys import ACTION, DONE, EXECUTED, REWARD
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.writer import Episode
from vla_datasets.seeds import rollout_seed
from vla_datasets.worlds.episode import WorldEpisode
from vla_datasets.worlds.registry import WorldSpec, find_world
from vla_datasets.worlds.world import ExpertError, World
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runner import Runner
from vla_training.evaluate.runners import make_runner

__all__ = ["Rollouts", "labelled_features", "roll_out"]

_LOCKSTEP = 16  # episodes at a time
_BLOCK = 96  # episodes of a file


@dataclass(frozen=True)
class Rollouts:
    """What is played in one round.

    Attributes:
        world: its registered name.
        level: of the world.
        policy: run or saved policy that acts.
        seed: another one gives other episodes.
        number: of the round, from 1.
        episodes: how many.
        beta: share of the steps in which the expert acts in its place.
        most_steps: of an episode; a policy that turns in circles would fill the set with one picture.
    """

    world: str
    level: str
    policy: Path
    seed: int
    number: int
    episodes: int
    beta: float
    most_steps: int


def labelled_features(spec: WorldSpec, level: str) -> dict[str, Feature]:
    """Of a frame: what the world says, and beside the expert's `action` what was done."""
    features = spec.frame(level).features
    return {**features, EXECUTED: features[ACTION]}


def roll_out(
    rollouts: Rollouts,
    staging: Path,
    engine: Engine = ALONE,
    progress: Callable[[int], None] = lambda episodes: None,
) -> list[Path]:
    """Play what is missing; return the blocks of all episodes in their order.

    The bytes depend neither on the workers nor on where it was interrupted.
    """
    starts = range(0, rollouts.episodes, _BLOCK)
    numbers = [range(start, min(start + _BLOCK, rollouts.episodes)) for start in starts]
    paths = [staging / f"block-{n:05d}.parquet" for n in range(len(numbers))]
    missing = [n for n, path in enumerate(paths) if not path.exists()]
    progress(sum(len(numbers[n]) for n in range(len(paths)) if n not in missing))
    for done, _ in engine.run(_play_block, [(rollouts, paths[n], numbers[n]) for n in missing]):
        progress(len(numbers[missing[done]]))
    return paths


def _play_block(rollouts: Rollouts, path: Path, numbers: Sequence[int]) -> None:
    spec = find_world(rollouts.world)
    runner = make_runner(RunnerSpec("float", rollouts.policy))
    seeds = [rollout_seed(rollouts.seed, rollouts.number, number) for number in numbers]
    played: list[Episode] = []
    with contextlib.ExitStack() as opened:
        worlds = [opened.enter_context(contextlib.closing(spec.make(rollouts.level))) for _ in seeds[:_LOCKSTEP]]
        for first in range(0, len(seeds), _LOCKSTEP):
            played += _play(rollouts, spec, runner, worlds, seeds[first : first + _LOCKSTEP])
    runner.close()
    write_block(path, [episode for episode in played if episode.length], labelled_features(spec, rollouts.level))


def _play(
    rollouts: Rollouts, spec: WorldSpec, runner: Runner, worlds: Sequence[World], seeds: Sequence[int]
) -> list[Episode]:
    """Episodes side by side, until each has ended, has its steps or is at a loss for a label."""
    episodes = [_Labelled(spec, world, seed, rollouts.beta) for world, seed in zip(worlds, seeds, strict=False)]
    for slot, episode in enumerate(episodes):
        runner.reset(slot, episode.playing.task, episode.playing.seed)
    going = dict(enumerate(episodes))
    for _ in range(rollouts.most_steps):
        if not going:
            break
        proposed = runner.act({slot: episode.playing.observation for slot, episode in going.items()})
        for slot, action in proposed.items():
            done = going[slot].step(action)
            if done is None:
                del going[slot]
            elif not np.array_equal(done, action):
                runner.correct(slot, done)
    return [episode.finished() for episode in episodes]


class _Labelled:
    """One episode: at each step what the expert wants is kept, and what is done is the learner's or the expert's.

    Args:
        spec: of the world.
        world: its episode is begun here.
        seed: of the episode, and of who acts at each step.
        beta: how often the expert acts.
    """

    def __init__(self, spec: WorldSpec, world: World, seed: int, beta: float) -> None:
        self.playing = WorldEpisode(world, seed)
        self._expert, self._beta, self._random = spec.expert_of(world), beta, np.random.default_rng(seed)
        self._features = {n: f for n, f in labelled_features(spec, world.level).items() if n not in BOOKKEEPING}
        self._columns: dict[str, list[Any]] = {name: [] for name in self._features}

    def step(self, proposed: Any) -> Any:
        """Do the learner's action or the expert's, and return it; None where the episode is over."""
        try:
            wanted = self._expert()
        except ExpertError:
            return None
        action = wanted if self._random.random() < self._beta else proposed
        seen = self.playing.observation
        outcome = self.playing.step(action)
        self._keep({**seen, ACTION: wanted, EXECUTED: action, REWARD: outcome.reward, DONE: outcome.ended})
        return None if outcome.ended else action

    def _keep(self, frame: Mapping[str, Any]) -> None:
        for name, value in self.playing.frame_values(frame, self._features).items():
            self._columns[name].append(stored_value(value, self._features[name]))

    def finished(self) -> Episode:
        """What was kept; its last frame ends the episode."""
        if self._columns[DONE]:
            self._columns[DONE][-1] = True
        return Episode(self.playing.seed, self.playing.task, self._columns)
