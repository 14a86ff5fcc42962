"""A camera and a collision sensor on a car, whose data are matched to the frame they belong to.

CARLA delivers data by callbacks of its own threads: late, twice, out of order, or never.
"""

from __future__ import annotations

import queue
import time
from typing import Any

import carla
import numpy as np
import numpy.typing as npt
from PIL import Image

from vla_datasets.errors import WorldError
from vla_datasets.worlds.carla.server import Server
from vla_datasets.worlds.driving.schema import SIZE

__all__ = ["Camera", "Collisions", "LostFrameError"]

_PLACE = carla.Transform(carla.Location(x=1.5, z=2.4))  # metres from the car's middle: the earlier system's
_WIDTH_DEGREES = 110
_FINER = 2  # the picture is drawn so many times larger, and averaged


class LostFrameError(Exception):
    """The picture of a frame did not come."""


class Camera:
    """The camera in front, (SIZE, SIZE, 3)."""

    def __init__(self, server: Server, car: Any) -> None:
        side = str(SIZE * _FINER)
        blueprint = server.blueprint("sensor.camera.rgb", image_size_x=side, image_size_y=side, fov=str(_WIDTH_DEGREES))
        self._timeout = server.address.timeout
        self._come: queue.SimpleQueue[Any] = queue.SimpleQueue()
        _spawned(server, blueprint, car, _PLACE).listen(self._come.put)

    def picture(self, frame: int) -> npt.NDArray[np.uint8]:
        """The picture of a frame; those of other frames are thrown away.

        Raises:
            LostFrameError: it does not come within the server's timeout.
        """
        until, seen = time.monotonic() + self._timeout, 0
        while True:
            try:
                image = self._come.get(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                last = f"the newest that came is of frame {seen}" if seen else "none came"
                raise LostFrameError(
                    f"the camera's picture of frame {frame} did not come within {self._timeout:g} s; {last}"
                ) from None
            if image.frame == frame:
                return _pixels(image)
            seen = max(seen, int(image.frame))


class Collisions:
    """What the car has touched since it was spawned."""

    def __init__(self, server: Server, car: Any) -> None:
        self._come: queue.SimpleQueue[Any] = queue.SimpleQueue()
        blueprint = server.blueprint("sensor.other.collision")
        _spawned(server, blueprint, car, carla.Transform()).listen(self._come.put)

    def touched(self) -> str:
        """ "a vehicle", "a pedestrian", "something" or "", since the last call."""
        found = ""
        while not self._come.empty():
            kind = str(self._come.get().other_actor.type_id)
            named = next((name for part, name in _NAMES.items() if kind.startswith(part)), "something")
            found = found or named
        return found


_NAMES = {"vehicle.": "a vehicle", "walker.": "a pedestrian"}


def _spawned(server: Server, blueprint: Any, car: Any, place: Any) -> Any:
    sensor = server.spawn(blueprint, [place], car)
    if sensor is None:
        raise WorldError(f"the CARLA server at {server.address} did not spawn {blueprint.id} on the car")
    return sensor


def _pixels(image: Any) -> npt.NDArray[np.uint8]:
    """CARLA's BGRA bytes as RGB, averaged to the wanted size."""
    size = image.width, image.height
    fine = Image.frombuffer("RGBA", size, bytes(image.raw_data), "raw", "BGRA", 0, 1).convert("RGB")
    return np.asarray(fine.reduce(_FINER), np.uint8)
