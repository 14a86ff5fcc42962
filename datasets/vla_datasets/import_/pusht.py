"""A recorded episode of Push-T as an episode of our worlds, after its values were looked at.

Not here: reading files (the other modules of this folder).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.import_.prepared import Prepared
from vla_datasets.import_.recording import Array, Recorded, Recording
from vla_datasets.keys import ACTION, DONE, REWARD, STATE
from vla_datasets.lerobot.format import Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.writer import Episode
from vla_datasets.worlds.pusht.block import corners
from vla_datasets.worlds.pusht.schema import GOAL, GOAL_POSE, KEYPOINTS, SENTENCE, SIDE
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE
from vla_datasets.worlds.registry import find_world

__all__ = ["prepare_pusht"]

_LEVEL = "fixed"  # everybody records gym-pusht's goal
_NEAR = 0.5  # px between corners and a T
_SCALED = 2.0  # px from the plane's corner: the wall is there, and values from -1 to 1 are within


def prepare_pusht(recording: Recording, world: str) -> Prepared:
    """A recording as a set of a world.

    Args:
        world: `pusht` or `pusht_pixels`; empty: `pusht` where the recording says where the block is.

    Raises:
        CollectError: what it lacks for this world, or a package is missing.
    """
    world = world or ("pusht" if recording.keypoints else "pusht_pixels")
    features = _features_of(recording, world)
    goal = _picture_of_goal() if GOAL_IMAGE in features else None
    recorded = enumerate(recording.episodes(images=goal is not None))
    episodes = (_world_episode(one, number, features, goal) for number, one in recorded)
    fps = find_world(world).frame().fps
    return Prepared(recording.form, world, {"level": _LEVEL}, features, fps, len(recording.lengths), episodes)


def _features_of(recording: Recording, world: str) -> Mapping[str, Feature]:
    """The columns of a world that a recording fills.

    Raises:
        CollectError: what it lacks for this world.
    """
    if world == "pusht" and not recording.keypoints:
        raise CollectError(
            f"the recording does not say where the block is ('{KEYPOINTS}'), which world 'pusht' is about; take "
            "--world pusht_pixels, or a recording with it, such as lerobot/pusht_keypoints."
        )
    if world == "pusht_pixels" and not recording.images:
        raise CollectError("the recording has no pictures ('observation.image'); take --world pusht.")
    features = find_world(world).frame().features
    return {name: feature for name, feature in features.items() if name != KEYPOINTS or recording.keypoints}


def _picture_of_goal() -> bytes:
    """What `pusht_pixels` shows as the goal, PNG.

    Raises:
        CollectError: gym-pusht is missing.
    """
    world = find_world("pusht_pixels").make(_LEVEL)
    try:
        return encode_png(world.reset(seed=0)[0][GOAL_IMAGE])
    finally:
        world.close()


def _world_episode(recorded: Recorded, number: int, features: Mapping[str, Feature], goal: bytes | None) -> Episode:
    """The episode as the world's collector would store it; its number stands for a seed.

    Raises:
        DatasetError: a value is no number, no place in the plane, or the corners are no T.
    """
    where, length = recorded.where, len(recorded.state)
    _check_places(where, STATE, recorded.state)
    _check_places(where, ACTION, recorded.action)
    _check_scale(where, STATE, recorded.state)
    _check_scale(where, ACTION, recorded.action)
    if recorded.keypoints is not None:
        _check_places(where, KEYPOINTS, recorded.keypoints)
        _check_block(where, recorded.keypoints)
    _check_range(where, REWARD, recorded.reward, 0, 1)
    columns: dict[str, Any] = {
        IMAGE: recorded.images,
        GOAL_IMAGE: [goal] * length,
        STATE: recorded.state,
        KEYPOINTS: recorded.keypoints,
        GOAL: [corners(GOAL_POSE).ravel()] * length,
        ACTION: recorded.action,
        REWARD: recorded.reward,
        DONE: [False] * (length - 1) + [True],
    }
    return Episode(number, SENTENCE, {name: list(values) for name, values in columns.items() if name in features})


def _check_places(where: str, name: str, values: Array) -> None:
    _check_range(where, name, values, -SIDE, 2 * SIDE)


def _check_scale(where: str, name: str, values: Array) -> None:
    """Refuse an episode that is all in the plane's corner, as normalized places are."""
    if np.abs(values).max() <= _SCALED:
        low, high = values.min(), values.max()
        raise DatasetError(
            f"{where}: '{name}' goes from {low:.3g} to {high:.3g}, and places are in px of a plane of {SIDE:g}. Take a "
            "recording that is not normalized."
        )


def _check_range(where: str, name: str, values: Array, low: float, high: float) -> None:
    bad = ~((values >= low) & (values <= high))  # not a number is neither
    if bad.any():
        frame = int(np.argwhere(bad)[0][0])
        raise DatasetError(
            f"{where}: '{name}' is {np.atleast_1d(values[frame])[:4].tolist()} in frame {frame}; it must be {low:g} to "
            f"{high:g} (places in px of a plane of {SIDE:g}). Take a recording that is not normalized."
        )


def _check_block(where: str, keypoints: Array) -> None:
    """Refuse corners that are not those of the block, in gym-pusht's order: of another set, or in another order."""
    found = keypoints.reshape(-1, 8, 2)
    along = found[:, 1] - found[:, 0]
    middle = (found[:, 0] + found[:, 1]) / 2  # of the bar's edge: the body's origin
    wanted = corners(np.column_stack([middle, np.arctan2(along[:, 1], along[:, 0])]))
    away = np.abs(found - wanted).max(axis=(1, 2))
    if away.max() > _NEAR:
        frame = int(away.argmax())
        raise DatasetError(
            f"{where}: '{KEYPOINTS}' of frame {frame} are {away[frame]:.1f} px from a T; they must be the block's "
            f"eight corners in gym-pusht's order, within {_NEAR} px."
        )
