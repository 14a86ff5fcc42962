"""What the cameras see, without shadows and reflections, which take ten times as long on a processor and no task here
needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from dm_control.mujoco.engine import Camera
from PIL import Image

from vla_datasets.errors import CollectError
from vla_datasets.worlds.aloha.renderer import NEEDED

__all__ = ["Cameras"]

_PLAIN = {"shadow": False, "reflection": False}
_WRISTS = {"left_wrist": 70.0, "right_wrist": 70.0}  # degrees of view; gym-aloha's 20 show one finger


class Cameras:
    """Cameras of a simulation.

    Args:
        physics: of dm_control.
        names: of its cameras.
        shape: of a picture, (height, width, 3).
        finer: how many times as wide and high it is drawn and then averaged, which smooths edges; MuJoCo draws up to
            480 x 640.

    Raises:
        CollectError: no renderer works here.
    """

    def __init__(self, physics: Any, names: Sequence[str], shape: tuple[int, ...], finer: int) -> None:
        model = physics.model
        model.vis.quality.offsamples = 0  # before the first picture is drawn
        for name, degrees in _WRISTS.items():
            model.cam_fovy[model.name2id(name, "camera")] = degrees
        height, width = shape[0] * finer, shape[1] * finer
        self._finer = finer
        try:
            self._cameras = {name: Camera(physics, height, width, camera_id=name) for name in names}
        except Exception as error:  # of MuJoCo, of OpenGL's bindings, or of the system
            raise CollectError(f"MuJoCo cannot draw here ({error}); {NEEDED}") from error

    def see(self) -> dict[str, npt.NDArray[np.uint8]]:
        """A picture from each, by name."""
        drawn = {name: camera.render(render_flag_overrides=_PLAIN) for name, camera in self._cameras.items()}
        return {name: np.asarray(Image.fromarray(pixels).reduce(self._finer)) for name, pixels in drawn.items()}
