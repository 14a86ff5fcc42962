"""Segments of the set: an expert's drive in our world, and frames at some of its moments.

The drive is played as numbers and kept every half second: which moments become frames, and what followed them, is known
at its end. Not here: files (`write.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vla_datasets.errors import CollectError
from vla_datasets.seeds import episode_seed
from vla_datasets.waymo.driven.raters import rate
from vla_datasets.waymo.driven.rig import calibration, mounts
from vla_datasets.waymo.driven.track import AFTER, BEFORE, Track
from vla_datasets.waymo.frame import Frame
from vla_datasets.waymo.jpeg import encode_jpeg
from vla_datasets.waymo.names import Camera, Intent
from vla_datasets.worlds.driving.expert import expert
from vla_datasets.worlds.driving.levels import read_level
from vla_datasets.worlds.driving.route import LEFT, RIGHT
from vla_datasets.worlds.driving.scene import Scene
from vla_datasets.worlds.driving.simulation import Simulation

__all__ = ["Recorder", "intent_ahead"]

_MOST_FAILURES, _MOST_ATTEMPTS = 20, 1000  # running; and with those of other splits
_AHEAD = 6  # points of the route: with the 15 m at which a turn's command begins, what is driven in five seconds
_EVERY = 5  # moments, from a kept one to the next: half a second
_INTENTS = {LEFT: Intent.GO_LEFT, RIGHT: Intent.GO_RIGHT}


@dataclass(frozen=True)
class _Drive:
    """A drive that arrived.

    Attributes:
        track: where the car was at each moment.
        kept: the simulation at every `_EVERY`-th moment.
    """

    track: Track
    kept: Sequence[Simulation]

    @property
    def moments(self) -> range:
        """Those that were kept, of which past and future are known."""
        return range(-(-BEFORE // _EVERY) * _EVERY, len(self.track.yaws) - AFTER, _EVERY)


class Recorder:
    """Makes the frames of segments on one level, with these cameras.

    Raises:
        CollectError: there is no such level, or no renderer.
    """

    def __init__(self, level: str, cameras: Sequence[Camera], width: int, height: int) -> None:
        self._simulation = Simulation(read_level("driving", level))
        self._mounts = dict(zip(cameras, mounts(cameras, width, height), strict=True))
        self._scene = Scene(self._simulation.town, list(self._mounts.values()))

    def segment(self, base: int, number: int, split: str, count: int) -> Iterator[Frame]:
        """`count` frames, evenly over the drive of slot `number`; those of split "val" are rated, as Waymo's.

        Raises:
            CollectError: the expert fails on every attempt, or no route is of the split.
        """
        drive = self._driven(base, number, split, count)
        for place in np.linspace(0, len(drive.moments) - 1, count).round().astype(int):
            moment = drive.moments[place]
            name = f"driving-{base}-{number:06d}-{moment:03d}"
            yield self._frame(name, drive.kept[moment // _EVERY], drive.track, moment, rated=split == "val")

    def close(self) -> None:
        """Free the renderer's buffers."""
        self._scene.close()

    def _driven(self, base: int, number: int, split: str, count: int) -> _Drive:
        """A drive that arrives, long enough for so many frames; as numbers."""
        failures = 0
        for attempt in range(_MOST_ATTEMPTS):
            seed = episode_seed(base, number, attempt)
            if self._simulation.begin(seed) != split:
                continue
            drive = _played(self._simulation)
            if drive and len(drive.moments) >= count:
                return drive
            failures += 1
            if failures == _MOST_FAILURES:
                raise CollectError(f"segment {number}: the expert failed {failures} times running; take another level.")
        raise CollectError(f"segment {number}: none of {_MOST_ATTEMPTS} routes is of split '{split}'.")

    def _frame(self, name: str, now: Simulation, track: Track, moment: int, rated: bool) -> Frame:
        weather = now.conditions.weather
        pictures = self._scene.from_car(now.ego, now.traffic, now.lights, now.clock, weather)
        images = {}
        for camera, picture in zip(self._mounts, pictures, strict=True):
            seen = weather if camera is Camera.FRONT else replace(weather, night=False)  # headlights shine ahead
            images[camera] = encode_jpeg(seen.drawn(picture, now.drops))
        return Frame(
            name,
            images,
            track.past(moment),
            track.future(moment),
            intent_ahead(now),
            rate(now) if rated else (),
            {camera: calibration(mount) for camera, mount in self._mounts.items()},
        )


def _played(simulation: Simulation) -> _Drive | None:
    """The expert's drive from the begin of an episode on; None where it does not arrive."""
    act, cars, kept = expert(simulation), [copy.copy(simulation.ego)], [simulation.twin()]
    while True:
        _, terminated, truncated, info = simulation.advance(act())
        cars.append(copy.copy(simulation.ego))
        if len(cars) % _EVERY == 1:
            kept.append(simulation.twin())
        if terminated or truncated:
            return _Drive(Track(cars), kept) if info["success"] else None


def intent_ahead(simulation: Simulation) -> Intent:
    """Where the route leads in the next five seconds."""
    trip = simulation.trip
    ahead = trip.route.commands[trip.progress : trip.progress + _AHEAD + 1].tolist()
    return next((_INTENTS[command] for command in ahead if command in _INTENTS), Intent.GO_STRAIGHT)
