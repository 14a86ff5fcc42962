"""How the rover moves: a wish, what the wheels make of it, and what its instruments feel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.rover.ground import Ground

__all__ = ["Motion", "paths"]

Floats = npt.NDArray[np.float64]

_GRAVITY = 9.81
_ACCELERATION, _TURNING = 3.0, 4.0  # the most, m/s^2 and rad/s^2
_GRIP = 0.45  # share of the wheels' turning that moves the rover on ice
_SMOOTH, _STONES = 0.25, 2.0  # how much it shakes, m/s^2 at 1 m/s
_TICK = 0.05  # s of a step of the motion


@dataclass
class Motion:
    """Where the rover is and how fast; `v` and `w` are its own, `wheel_v` and `wheel_w` those of its wheels."""

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0
    wheel_v: float = 0.0
    wheel_w: float = 0.0
    grip: float = 1.0
    shake: float = 0.0  # m/s^2, of the ground under it
    gained: float = 0.0  # m/s^2, since the last frame

    @property
    def v(self) -> float:
        """Ahead, m/s."""
        return self.wheel_v * self.grip

    @property
    def w(self) -> float:
        """To the left, rad/s."""
        return self.wheel_w * self.grip

    def feel(self, ground: Ground) -> None:
        """What is under the rover."""
        under = [patch for patch in ground.patches if patch.holds(self.x, self.y)]
        self.grip = _GRIP if any(patch.ice for patch in under) else 1.0
        stones = any(not patch.ice for patch in under)
        self.shake = (_STONES if stones else _SMOOTH) * min(abs(self.v), 1.5)

    def move(self, v: float, w: float, seconds: float, ground: Ground) -> None:
        """Towards a wished motion of the wheels, for so long."""
        before = self.v
        for _ in range(max(1, round(seconds / _TICK))):
            self.wheel_v += min(max(v - self.wheel_v, -_ACCELERATION * _TICK), _ACCELERATION * _TICK)
            self.wheel_w += min(max(w - self.wheel_w, -_TURNING * _TICK), _TURNING * _TICK)
            self.yaw += self.w * _TICK
            self.x += self.v * math.cos(self.yaw) * _TICK
            self.y += self.v * math.sin(self.yaw) * _TICK
            self.feel(ground)
        self.gained = (self.v - before) / seconds

    def telemetry(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """What the instruments say, (8,): accelerations and rates, the largest since the last frame, and odometry."""
        ax, ay, az, gx, gy, gz, v, w = rng.normal(0, 1, 8)
        peak, rate = 1.5 * self.shake, 0.08 * self.shake
        return np.array(
            [
                self.gained + 0.15 * ax + 0.3 * self.shake * ax,
                self.v * self.w + 0.1 * ay + 0.3 * self.shake * ay,
                _GRAVITY + 0.1 * az + peak * (1 + 0.3 * az),
                rate * (1 + 0.4 * gx) + 0.01 * gx,
                rate * (1 + 0.4 * gy) + 0.01 * gy,
                self.w + 0.02 * gz,
                self.wheel_v + 0.02 * v,
                self.wheel_w + 0.02 * w,
            ],
            np.float32,
        )


def paths(x: float, y: float, yaw: float, commands: Floats, times: Floats) -> Floats:
    """Where constant motions lead: (K, T, 2), of (K, 2) of v and w and T times."""
    v, w = commands[:, :1], commands[:, 1:]
    turned = w * times
    bent = np.abs(turned) > 1e-6  # sin(a) / a and (1 - cos(a)) / a, and their limits
    safe = np.where(bent, turned, 1.0)
    along = np.where(bent, np.sin(safe) / safe, 1.0) * v * times
    aside = np.where(bent, (1 - np.cos(safe)) / safe, 0.0) * v * times
    c, s = math.cos(yaw), math.sin(yaw)
    return np.stack([x + c * along - s * aside, y + s * along + c * aside], axis=2)
