"""What is right to say of a moment, from all that is so: risk, its reason, and what to do.

Risk is how soon the rover touches something if it and all people go on as they do; reason is what that is; the action
is the first of six that touches nothing for three seconds. Not here: who asks (`expert.py`, `environment.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.rover.ground import RADIUS, Ground, Passage
from vla_datasets.worlds.rover.motion import Motion, paths
from vla_datasets.worlds.rover.names import ACTIONS, HIGH, REASONS, RISKS

__all__ = ["SOON", "Outlook", "commands", "look_ahead"]

Floats = npt.NDArray[np.float64]

SOON = 1.0  # s, within which a touch is a high risk
_LEVELS = ((SOON, HIGH), (2.0, RISKS.index("medium")), (3.5, RISKS.index("low")))
_SAFE = 3.0  # s that an action must touch nothing
_SQUEEZE = 0.25  # m to either side: less is tight
_FAST = 0.8  # m/s: what is faster is in danger on bad ground and between walls
_TIMES = np.arange(1, 36) / 10.0  # s
_NEVER = np.inf
_HAIR = (0.95, 1.0, 1.05)  # the rover's speed, of itself: where this changes what is said, it hangs by a hair
_HAIR_WEIGHT = 0.5
_STANDING_FIRST = ("stop", "reverse", "slow", "turn_left", "turn_right", "continue")  # of what is equally late


@dataclass(frozen=True)
class Outlook:
    """What is right to say.

    Attributes:
        said: indices of risk, reason and action, (3,).
        touches: seconds until each action touches something, or infinity, (6,).
        weight: of the moment in training.
    """

    said: npt.NDArray[np.int64]
    touches: Floats
    weight: float

    def missed(self, action: int) -> bool:
        """Whether this action touches something soon, and another one would not."""
        return bool(self.touches[action] < SOON <= self.touches.max())


def commands(v: float, w: float) -> Floats:
    """What each action makes of a motion: (6, 2) of v and w."""
    slow = 0.6 * max(v, 0.5)
    return np.array([(v, w), (0.4 * v, w), (0.0, 0.0), (-0.4, 0.0), (slow, 0.9), (slow, -0.9)])


def look_ahead(ground: Ground, motion: Motion) -> Outlook:
    """The outlook of a moment."""
    wished = np.concatenate([commands(share * motion.v, motion.w) for share in _HAIR])
    seen = _Touches.of(ground, paths(motion.x, motion.y, motion.yaw, wished, _TIMES))
    found = []
    for number, share in enumerate(_HAIR):
        at = slice(number * len(ACTIONS), (number + 1) * len(ACTIONS))
        found.append(_said(seen.part(at), abs(share * motion.v)))
    middle = len(_HAIR) // 2
    sure = all(np.array_equal(found[middle], other) for other in found)
    at = slice(middle * len(ACTIONS), (middle + 1) * len(ACTIONS))
    return Outlook(found[middle], seen.part(at).first, 1.0 if sure else _HAIR_WEIGHT)


@dataclass(frozen=True)
class _Touches:
    """Of K motions: seconds until each kind of trouble, or infinity, (K,); how near what can be touched comes, (K,)."""

    human: Floats
    obstacle: Floats
    wall: Floats
    squeeze: Floats
    bad: Floats
    near: Floats

    @classmethod
    def of(cls, ground: Ground, path: Floats) -> _Touches:
        """Of paths (K, T, 2)."""
        away = np.full(path.shape[:2], 9.0)
        people = np.full(path.shape[:2], 9.0)
        for p in ground.people:
            gone = np.hypot(path[..., 0] - p.x - p.vx * _TIMES, path[..., 1] - p.y - p.vy * _TIMES)
            people = np.minimum(people, gone - RADIUS - p.radius)
        for b in ground.boxes:
            away = np.minimum(away, np.hypot(path[..., 0] - b.x, path[..., 1] - b.y) - RADIUS - b.radius)
        walls, tight = np.full(path.shape[:2], 9.0), np.zeros(path.shape[:2], bool)
        for passage in ground.passages:
            free, inside = _between(passage, path)
            walls = np.minimum(walls, free)
            tight |= inside & (free < _SQUEEZE)
        bad = np.zeros(path.shape[:2], bool)
        for patch in ground.patches:
            bad |= patch.holds(path[..., 0], path[..., 1])
        near = np.minimum(np.minimum(people, away), walls).min(axis=1)
        return cls(_first(people < 0), _first(away < 0), _first(walls < 0), _first(tight), _first(bad), near)

    @property
    def first(self) -> Floats:
        """Seconds until anything is touched."""
        return np.minimum(np.minimum(self.human, self.obstacle), self.wall)

    def part(self, at: slice) -> _Touches:
        """Some of the motions."""
        return _Touches(*(getattr(self, name)[at] for name in self.__dataclass_fields__))


def _between(passage: Passage, path: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """How far the rover is from both walls, (K, T), and whether it is between them."""
    along = np.abs(path[..., 0] - passage.x - passage.length / 2) - passage.length / 2
    aside = np.abs(path[..., 1] - passage.y)
    half = passage.thickness / 2
    across = np.abs(aside - passage.gap / 2 - half) - half
    outside = np.hypot(np.maximum(along, 0), np.maximum(across, 0))
    return outside + np.minimum(np.maximum(along, across), 0) - RADIUS, (along < 0) & (aside < passage.gap / 2)


def _first(what: npt.NDArray[np.bool_]) -> Floats:
    """The time of the first True of each row, or infinity."""
    times: Floats = np.where(what.any(axis=1), _TIMES[np.argmax(what, axis=1)], _NEVER)
    return times


def _said(seen: _Touches, speed: float) -> npt.NDArray[np.int64]:
    """Risk, reason and action, of the six actions' motions at a speed."""
    slight = RISKS.index("medium" if speed > _FAST else "low")
    troubles = (  # seconds, reason, the most that it is
        (seen.human[0], "human", HIGH),
        (seen.obstacle[0], "obstacle", HIGH),
        (seen.wall[0], "tight_space", HIGH),
        (seen.squeeze[0], "tight_space", slight),
        (seen.bad[0], "unknown", slight),
    )
    risk, _, reason = max((min(_level(t), most), -t, reason) for t, reason, most in troubles)
    if risk == 0:
        reason = "unknown"
    return np.array([risk, REASONS.index(reason), ACTIONS.index(_action(seen, risk))], np.int64)


def _level(seconds: float) -> int:
    return next((level for most, level in _LEVELS if seconds < most), 0)


def _action(seen: _Touches, risk: int) -> str:
    free = dict(zip(ACTIONS, seen.first >= _SAFE, strict=True))
    near = dict(zip(ACTIONS, seen.near, strict=True))
    if free["continue"] and risk < RISKS.index("medium"):
        return "continue"
    if free["slow"]:
        return "slow"
    sides = [side for side in ("turn_left", "turn_right") if free[side]]
    if sides:
        return max(sides, key=lambda side: near[side])
    return max(_STANDING_FIRST, key=lambda name: min(seen.first[ACTIONS.index(name)], _SAFE))
