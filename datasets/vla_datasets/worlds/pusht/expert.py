"""Plans a push, travels to its start around the block, pushes, and plans again; it sees poses, the policy does not.

The pusher is a spring and damper after the action (gym-pusht: 100 and 20), so an action D px ahead moves it D/2 px a
step. Deterministic for the state: equal seeds give equal demonstrations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.pusht.block import RADIUS, nearest, place
from vla_datasets.worlds.pusht.pushes import STAND, Push, pushes, pushes_off_a_wall
from vla_datasets.worlds.pusht.schema import SIDE
from vla_datasets.worlds.pusht.travel import way_around
from vla_datasets.worlds.world import Expert, ExpertError

__all__ = ["expert"]

Array = npt.NDArray[np.float64]

_TRAVEL, _PUSH = 60.0, 25.0  # px that the action is ahead
_THERE = 6.0  # px from the start of a push that are there
_LONG_TRAVEL, _LONG_PUSH = 60, 40  # steps after which the next thing is done whatever happened
_END, _STILL = 0.7, 8.0  # px from a push's end, and px a second, that end it
_CLEAR = 10.0  # px off the block that travel starts from
_ROOMS = (5.0, 1.0)  # px off the block that travel keeps; less where there is no other way


class Pushed(Protocol):
    """A world with a pusher, a block and a goal."""

    @property
    def pusher(self) -> tuple[Array, Array]:
        """Centre and velocity (2,) each."""

    @property
    def block_pose(self) -> Array:
        """(3,)."""

    @property
    def goal_corners(self) -> Array:
        """(8, 2)."""


def expert(world: Pushed) -> Expert:
    """The action for the world's state of now: where the pusher should go, (2,) float32."""
    return _Plan(world).act


class _Plan:
    """What is being done: a push, and the way to its start while that is not reached."""

    def __init__(self, world: Pushed) -> None:
        self._world = world
        self._push: Push | None = None
        self._way: Array | None = None
        self._segment, self._steps = 0, 0

    def act(self) -> npt.NDArray[np.float32]:
        """One step.

        Raises:
            ExpertError: no push helps.
        """
        pusher, velocity = self._world.pusher
        for _ in range(2):  # a push that has ended is followed by the next plan in the same step
            if self._push is None:
                self._plan(pusher)
            wanted = self._travel(pusher) if self._way is not None else None
            wanted = self._along(pusher, velocity) if wanted is None else wanted
            if wanted is not None:
                return _action(wanted)
        return _action(pusher)

    def _plan(self, pusher: Array) -> None:
        pose = self._world.block_pose
        choices = pushes(pose, pusher, self._world.goal_corners)
        found = _reached(choices, pusher, pose)
        if found is None:
            choices += pushes_off_a_wall(pose, pusher)
            found = _reached(choices, pusher, pose)
        if found is None and choices:  # straight there: that moves the block, and another plan follows
            found = choices[0], np.array([pusher, choices[0].start])
        if found is None:
            raise ExpertError("no push brings the block nearer to its goal, nor to the middle")
        self._push, self._way = found
        self._segment, self._steps = 0, 0

    def _travel(self, pusher: Array) -> Array | None:
        """A place ahead on the way; None: its end is reached."""
        assert self._way is not None and self._push is not None
        self._steps += 1
        if np.hypot(*(pusher - self._push.start)) < _THERE or self._steps > _LONG_TRAVEL:
            self._way, self._steps = None, 0
            return None
        nearest_place = (np.inf, self._segment, pusher)
        for number in range(self._segment, min(len(self._way) - 1, self._segment + 2)):
            step = self._way[number + 1] - self._way[number]
            share = np.clip((pusher - self._way[number]) @ step / max(step @ step, 1e-12), 0, 1)
            on = self._way[number] + step * share
            if (far := float(np.hypot(*(on - pusher)))) < nearest_place[0]:
                nearest_place = (far, number, on)
        _, self._segment, place_ = nearest_place
        return _ahead(self._way, self._segment, place_)

    def _along(self, pusher: Array, velocity: Array) -> Array | None:
        """A place ahead in the push; None: it has ended."""
        assert self._push is not None
        self._steps += 1
        left = float((self._push.end - pusher) @ self._push.along)
        if (left < _END and abs(float(velocity @ self._push.along)) < _STILL) or self._steps > _LONG_PUSH:
            self._push = None
            return None
        return self._push.end - self._push.along * max(left - _PUSH, 0.0)


def _reached(choices: Sequence[Push], pusher: Array, pose: Array) -> tuple[Push, Array] | None:
    """The first push that there is a way to, and that."""
    for room in _ROOMS:
        for push in choices:
            if (way := _way(pusher, push, pose, room)) is not None:
                return push, way
    return None


def _way(pusher: Array, push: Push, pose: Array, room: float) -> Array | None:
    """Corners (K, 2) of a way to a push, first away from a block that is touched."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    x, y = pusher - pose[:2]
    if np.hypot(*(push.start - pusher)) <= STAND + 2:  # it is there
        return np.array([pusher, push.start])
    away, normal, _ = nearest(np.array([[c * x + s * y, c * y - s * x]]))
    way = [pusher]
    if away[0] < RADIUS + 6:
        out = place(pose, normal[0]) - pose[:2]
        way.append(np.clip(pusher + out * (RADIUS + _CLEAR - away[0]), 20, SIDE - 21))
    around = way_around(way[-1], push.start, pose, room)
    return None if around is None else np.array([*way, *around[1:]])


def _ahead(way: Array, segment: int, place_: Array) -> Array:
    """The place `_TRAVEL` px further on a way (K, 2); half of it behind a corner."""
    left = _TRAVEL
    while True:
        step = way[segment + 1] - place_
        length = float(np.hypot(*step))
        if length >= left:
            return np.asarray(place_ + step / length * left)
        left = min(left - length, _TRAVEL / 2)
        place_, segment = way[segment + 1], segment + 1
        if segment >= len(way) - 1:
            return place_


def _action(place_: Array) -> npt.NDArray[np.float32]:
    return np.clip(place_, 0, SIDE).astype(np.float32)
