"""Rehearse with the fingertips, replay with the joints, as ACT's scripted demonstrations are made.

It knows what to do in the states that its own actions lead to, and in no others.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.aloha.environment import Aloha
from vla_datasets.worlds.aloha.physics import DT, SIDES, Fingertips
from vla_datasets.worlds.aloha.schema import FPS
from vla_datasets.worlds.aloha.waypoints import Waypoint, actions, ways
from vla_datasets.worlds.world import Expert, ExpertError

__all__ = ["expert"]

_EVERY = round(1 / FPS / DT)  # steps of an action
_GRIPPERS = [6, 13]
_OFF = 0.6  # rad from the rehearsal: a weak servo of a wrist lags up to 0.3 behind it


class _Rehearsal:
    """What was done with the fingertips, from the world's state of now on, in steps of an action.

    Attributes:
        joints: where the arms were (N + 1, 14), from the start on.
        commands: of the grippers (N, 2).
    """

    def __init__(self, world: Aloha) -> None:
        tips = _fingertips()
        tips.reset(world.servos.physics.data.qpos)
        starts = [Waypoint(0, *tips.tips(side), tips.joints[n]) for side, n in zip(SIDES, _GRIPPERS, strict=True)]
        both = [actions(start, way) for start, way in zip(starts, ways(world.servos.cube[:3]), strict=True)]
        joints = [tips.joints]
        for action in np.hstack(both):
            tips.step(action)
            joints.append(tips.joints)
        self.joints = np.array(joints[::_EVERY])
        self.commands = np.hstack(both)[_EVERY - 1 :: _EVERY, [7, 15]]

    def action(self, step: int, now: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Joints as they were a step later, and the grippers' commands, for arms that are at `now` (14,)."""
        if step >= len(self.commands):
            raise ExpertError("the rehearsal is over, and the cube was not handed over")
        away = np.delete(np.abs(self.joints[step] - now), _GRIPPERS).max()
        if away > _OFF:
            raise ExpertError(f"a joint is {away:.2f} rad from where it was in the rehearsal")
        found: npt.NDArray[np.float64] = self.joints[step + 1].copy()
        found[_GRIPPERS] = self.commands[step]
        return found


def expert(world: Aloha) -> Expert:
    """The next action of the rehearsal that the first call makes."""
    rehearsal: _Rehearsal | None = None
    step = 0

    def act() -> Any:
        nonlocal rehearsal, step
        rehearsal = rehearsal or _Rehearsal(world)
        action = rehearsal.action(step, world.servos.joints).astype(np.float32)
        step += 1
        return np.clip(action, world.action_space.low, world.action_space.high)

    return act


@functools.lru_cache(maxsize=1)
def _fingertips() -> Fingertips:
    """Of this process: a rehearsal begins with a reset, and building a simulation takes longer than one."""
    return Fingertips()
