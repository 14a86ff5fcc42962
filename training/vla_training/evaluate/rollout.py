"""Play episodes with a policy, many in lockstep; or play recorded actions again to see what happened.

Not here: which episodes, and in how many processes (`closed_loop.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import Sample
from vla_datasets.worlds.episode import WorldEpisode
from vla_datasets.worlds.world import World
from vla_isa.errors import VlaError
from vla_training.errors import EvaluationError
from vla_training.evaluate.runner import Runner

__all__ = ["EpisodeResult", "Moment", "play", "replay"]


@dataclass(frozen=True)
class EpisodeResult:
    """One evaluated episode: what the world said of its last step, and the actions as JSON values."""

    seed: int
    task: str
    success: bool
    score: float
    failure: str  # empty where it succeeded
    actions: tuple[Any, ...]
    elapsed: tuple[float, ...] = ()  # seconds until each action took effect; empty where every one did at once

    def to_json(self) -> dict[str, Any]:
        """As stored in evaluation files."""
        return {**asdict(self), "actions": list(self.actions), "elapsed": list(self.elapsed)}


@dataclass(frozen=True)
class Moment:
    """One step of a replayed episode: everything from outside, and what the policy could see."""

    picture: npt.NDArray[np.uint8]
    observation: Sample


def play(worlds: Sequence[World], runner: Runner, seeds: Iterable[int]) -> Iterator[EpisodeResult]:
    """Play the episodes of `seeds`, as many at a time as there are worlds; yields them as they end.

    Each step asks the runner once for all episodes in progress; a world whose episode ended begins the next one.

    Raises:
        EvaluationError: the policy's outputs are no actions; says where.
        WorldError: the world breaks its contract; says where.
    """
    waiting = iter(seeds)
    actions: dict[int, list[Any]] = {slot: [] for slot in range(len(worlds))}
    waits: dict[int, list[float]] = {slot: [] for slot in range(len(worlds))}
    playing = {slot: e for slot, world in enumerate(worlds) if (e := _begin(world, runner, slot, waiting)) is not None}
    while playing:
        for slot, action in _act(runner, playing).items():
            episode = playing[slot]
            actions[slot].append(np.asarray(action).tolist())
            waits[slot].append(runner.elapsed(slot))
            end = episode.step(action, waits[slot][-1])
            if not end.ended:
                continue
            done = tuple(actions[slot]), tuple(waits[slot]) if any(waits[slot]) else ()
            yield EpisodeResult(episode.seed, episode.task, end.success, end.score, end.failure, *done)
            del playing[slot]
            actions[slot], waits[slot] = [], []
            if (following := _begin(worlds[slot], runner, slot, waiting)) is not None:
                playing[slot] = following


def _begin(world: World, runner: Runner, slot: int, seeds: Iterator[int]) -> WorldEpisode | None:
    seed = next(seeds, None)
    if seed is None:
        return None
    episode = WorldEpisode(world, seed)
    runner.reset(slot, episode.task, seed)
    return episode


def _act(runner: Runner, playing: dict[int, WorldEpisode]) -> dict[int, Any]:
    try:
        return runner.act({slot: episode.observation for slot, episode in playing.items()})
    except VlaError as error:
        where = ", ".join(f"{e.seed} (step {e.steps})" for e in playing.values())
        raise EvaluationError(f"In one of the episodes {where}: {error}") from error


def replay(world: World, seed: int, actions: Sequence[Any], elapsed: Sequence[float] | None = None) -> Iterator[Moment]:
    """The moments of an episode whose actions, and seconds until they took effect, are known; no policy is run."""
    episode = WorldEpisode(world, seed)
    for action, seconds in zip(actions, elapsed or [0.0] * len(actions), strict=True):
        yield Moment(world.render(), episode.observation)
        episode.step(np.asarray(action), seconds)
