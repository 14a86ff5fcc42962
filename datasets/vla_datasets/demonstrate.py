"""Play one episode with a world's expert and keep what a policy would have seen.

Not here: which episodes, how many at a time, and where they are stored (`collect.py`).
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from vla_datasets.errors import CollectError
from vla_datasets.keys import ACTION, DONE, REWARD
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.writer import Episode
from vla_datasets.seeds import episode_seed
from vla_datasets.worlds.episode import WorldEpisode
from vla_datasets.worlds.registry import WorldSpec
from vla_datasets.worlds.world import ExpertError, World

__all__ = ["demonstrate", "stored_value"]

_MAX_FAILURES = 20  # running
_MAX_ATTEMPTS = 1000  # those of other splits included


def demonstrate(spec: WorldSpec, world: World, base: int, episode: int, split: str = "") -> Episode:
    """The demonstration of slot `episode`; a start at which the expert fails, or that the world has for another split
    than `split`, is replaced by the next attempt's.

    Where the world says that a failed episode is `usable` up to some step, those steps are the demonstration.

    Raises:
        WorldError: the world breaks its contract.
        CollectError: the expert failed on every attempt, so the level is not one it can solve; or no attempt is of the
            split.
    """
    failures = 0
    for attempt in range(_MAX_ATTEMPTS):
        playing = WorldEpisode(world, episode_seed(base, episode, attempt))
        if split and playing.split not in ("", split):
            continue
        found = _play(spec, playing)
        if found is not None:
            return found
        failures += 1
        if failures == _MAX_FAILURES:
            break
    if failures < _MAX_FAILURES:
        raise CollectError(f"The world '{spec.name}' had no start for the split '{split}' on level '{world.level}'.")
    raise CollectError(
        f"The expert of '{spec.name}' failed {_MAX_FAILURES} times running on level '{world.level}' "
        f"(episode {episode}); choose a level that it solves, for example {spec.levels[-1]}."
    )


def _play(spec: WorldSpec, playing: WorldEpisode) -> Episode | None:
    expert = spec.expert_of(playing.world)
    features = {name: f for name, f in spec.frame(playing.world.level).features.items() if name not in BOOKKEEPING}
    columns: dict[str, list[Any]] = {name: [] for name in features}
    while True:
        try:
            action = expert()
        except ExpertError:
            return None
        seen = playing.observation
        outcome = playing.step(action)
        frame = {**seen, ACTION: action, REWARD: outcome.reward, DONE: outcome.ended}
        for name, value in playing.frame_values(frame, features).items():
            columns[name].append(stored_value(value, features[name]))
        if outcome.ended:
            kept = playing.steps if outcome.success else outcome.usable
            return _rolled_back(playing.seed, playing.task, columns, kept) if kept > 0 else None


def _rolled_back(seed: int, task: str, columns: dict[str, list[Any]], kept: int) -> Episode:
    """The first `kept` frames, of which the last one ends the episode."""
    first = {name: values[:kept] for name, values in columns.items()}
    first[DONE][-1] = True
    return Episode(seed, task, first)


def stored_value(value: npt.NDArray[Any], feature: Feature) -> Any:
    """One value of a frame as an `Episode` holds it: PNG, a number or lists of them."""
    if feature.dtype != "image":
        return value.item() if value.shape == (1,) else value.tolist()
    return encode_png(value)
