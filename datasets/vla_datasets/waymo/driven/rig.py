"""The eight cameras of the car, at the angles of Waymo's, and their calibrations.

All see 60 degrees, so that neighbours overlap by 15; Waymo's differ among each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vla_datasets.waymo.frame import Calibration
from vla_datasets.waymo.names import Camera
from vla_datasets.worlds.driving.vehicle import WHEELBASE
from vla_datasets.worlds.driving.views import Mount

__all__ = ["calibration", "mounts"]

_UP, _PITCH, _FIELD = 2.1, -4.0, 60.0  # metres, degrees, degrees
_PLACES = {  # metres before the car's middle, degrees to the left
    Camera.FRONT: (1.0, 0.0),
    Camera.FRONT_LEFT: (1.0, 45.0),
    Camera.FRONT_RIGHT: (1.0, -45.0),
    Camera.SIDE_LEFT: (0.5, 90.0),
    Camera.SIDE_RIGHT: (0.5, -90.0),
    Camera.REAR_LEFT: (-1.0, 135.0),
    Camera.REAR: (-1.0, 180.0),
    Camera.REAR_RIGHT: (-1.0, -135.0),
}


def mounts(cameras: Sequence[Camera], width: int, height: int) -> list[Mount]:
    """Where these cameras sit, for pictures of so many pixels."""
    places = [_PLACES[camera] for camera in cameras]
    return [Mount(forward, _UP, yaw, _PITCH, _FIELD, width, height) for forward, yaw in places]


def calibration(mount: Mount) -> Calibration:
    """What Waymo's set says of such a camera."""
    yaw, pitch = math.radians(mount.yaw), math.radians(mount.pitch)
    ahead = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
    left = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
    extrinsic = np.eye(4)
    extrinsic[:3, :3] = np.stack([ahead, left, np.cross(ahead, left)], axis=1)
    extrinsic[:3, 3] = (mount.forward + WHEELBASE / 2, 0.0, mount.up)
    intrinsic = np.zeros(9)
    intrinsic[:4] = (mount.focal, mount.focal, mount.width / 2, mount.height / 2)
    return Calibration(intrinsic, extrinsic, mount.width, mount.height)
