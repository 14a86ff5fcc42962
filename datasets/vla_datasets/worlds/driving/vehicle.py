"""The policy's car: a kinematic bicycle with the size and steering of CARLA's Tesla Model 3.

Model: Rajamani, Vehicle Dynamics and Control, 2nd ed., section 2.2, about the rear axle. Not here: other cars, which
follow their lanes (`traffic.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["LENGTH", "WIDTH", "Vehicle"]

LENGTH, WIDTH, WHEELBASE = 4.7, 1.85, 2.875  # metres
_MOST_STEER = math.radians(70)  # of the front wheels
_STEER_SECONDS = 0.1  # the wheels follow with this time constant
_THROTTLE, _BRAKE, _DRAG = 4.0, 8.0, 0.2  # m/s2 at 1, m/s2 at 1, 1/s
_STEP = 0.02  # seconds of one step of the integration


@dataclass
class Vehicle:
    """x and y (metres, of the middle), yaw (radians), speed (m/s) and the front wheels' angle (radians)."""

    x: float
    y: float
    yaw: float
    speed: float = 0.0
    wheels: float = 0.0

    def drive(self, steer: float, throttle: float, brake: float, seconds: float) -> None:
        """Move on under a control as CARLA's: steer -1..1, throttle and brake 0..1; others are clipped."""
        steer, throttle, brake = min(max(steer, -1.0), 1.0), min(max(throttle, 0.0), 1.0), min(max(brake, 0.0), 1.0)
        steps = max(round(seconds / _STEP), 1)
        step = seconds / steps
        for _ in range(steps):
            self.wheels += (steer * _MOST_STEER - self.wheels) * min(step / _STEER_SECONDS, 1.0)
            slows = _BRAKE * brake if self.speed > 0 else 0.0
            self.speed = max(self.speed + (_THROTTLE * throttle - slows - _DRAG * self.speed) * step, 0.0)
            turn = self.speed * math.tan(self.wheels) / WHEELBASE * step
            forward, beside = self.speed * step, turn * WHEELBASE / 2  # the middle is half a wheelbase in front
            self.x += forward * math.cos(self.yaw) - beside * math.sin(self.yaw)
            self.y += forward * math.sin(self.yaw) + beside * math.cos(self.yaw)
            self.yaw += turn
