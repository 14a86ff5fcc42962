"""Cameras of the software renderer (p3tinydisplay): where one sits on the car, and the buffer it draws into.

Not here: what there is to see (`scene.py`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from panda3d.core import (
    Camera,
    FrameBufferProperties,
    GraphicsEngine,
    GraphicsOutput,
    GraphicsPipe,
    GraphicsPipeSelection,
    LColor,
    OrthographicLens,
    PerspectiveLens,
    Texture,
    WindowProperties,
    loadPrcFileData,
)

from vla_datasets.errors import CollectError
from vla_datasets.worlds.driving.meshes import Color

__all__ = ["Mount", "View", "orthographic", "perspective"]

_SETTINGS = (
    "load-display p3tinydisplay",
    "window-type offscreen",
    "audio-library-name null",
    "sync-video 0",
    "framebuffer-multisample 0",
    "notify-level error",
    "notify-level-x11display fatal",  # it is asked first whether there is a display
)


@dataclass(frozen=True)
class Mount:
    """A camera on the car.

    Attributes:
        forward: metres before the car's middle.
        up: metres above the road.
        yaw: degrees to the left of ahead.
        pitch: degrees above level.
        field: degrees that the picture is wide.
        width, height: pixels.
    """

    forward: float
    up: float
    yaw: float
    pitch: float
    field: float
    width: int
    height: int

    @property
    def focal(self) -> float:
        """Of both axes, in pixels."""
        return self.width / 2 / math.tan(math.radians(self.field) / 2)


class View:
    """A camera and the buffer it draws into, (height, width, 3).

    Raises:
        CollectError: there is no software renderer.
    """

    def __init__(self, root: Any, width: int, height: int, lens: Any) -> None:
        self._engine = GraphicsEngine.getGlobalPtr()
        self._shape = height, width, 3
        frame = FrameBufferProperties()
        frame.setRgbColor(True)
        frame.setRgbaBits(8, 8, 8, 0)
        frame.setDepthBits(24)
        self._buffer = self._engine.makeOutput(
            _pipe(), "view", 0, frame, WindowProperties.size(width, height), GraphicsPipe.BFRefuseWindow
        )
        if self._buffer is None:
            raise CollectError("Panda3D has no software renderer here; install panda3d from its wheel.")
        self._texture = Texture()
        self._buffer.addRenderTexture(self._texture, GraphicsOutput.RTMCopyRam)
        camera = Camera("camera")
        camera.setLens(lens)
        self.camera = root.attachNewNode(camera)
        self._region = self._buffer.makeDisplayRegion()
        self._region.setCamera(self.camera)
        self._region.setClearColorActive(True)
        self._region.setClearDepthActive(True)
        self._buffer.setActive(False)

    def picture(self, sky: Color) -> npt.NDArray[np.uint8]:
        """What the camera sees."""
        self._region.setClearColor(LColor(*sky, 1))
        self._buffer.setActive(True)
        self._engine.renderFrame()
        self._buffer.setActive(False)
        seen = np.frombuffer(self._texture.getRamImageAs("RGB"), np.uint8)
        return seen.reshape(self._shape)[::-1].copy()

    def close(self) -> None:
        """Free the buffer."""
        self._engine.removeWindow(self._buffer)


@functools.cache
def _pipe() -> Any:
    loadPrcFileData("", "\n".join(_SETTINGS))
    return GraphicsPipeSelection.getGlobalPtr().makeDefaultPipe()


def perspective(field: float, width: int, height: int) -> Any:
    """A lens that is `field` degrees wide; pixels are square."""
    lens = PerspectiveLens()
    lens.setFilmSize(width, height)
    lens.setFov(field)
    lens.setNearFar(0.3, 250)
    return lens


def orthographic(metres: float) -> Any:
    """A lens that sees a square of so many metres, without perspective."""
    lens = OrthographicLens()
    lens.setFilmSize(metres, metres)
    lens.setNearFar(1, 200)
    return lens
