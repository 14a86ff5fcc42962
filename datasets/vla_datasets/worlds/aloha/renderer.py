"""Which of MuJoCo's renderers draws: the user's choice, or what this machine has that needs no display.

Not here: cameras (`cameras.py`).
"""

from __future__ import annotations

import os
from ctypes.util import find_library

__all__ = ["CHOICE", "NEEDED", "choose_renderer"]

CHOICE = "MUJOCO_GL"  # MuJoCo's environment variable
NEEDED = (
    "it needs EGL (Debian: apt install libegl1 libgl1-mesa-dri) or OSMesa (apt install libosmesa6), chosen by "
    f"{CHOICE}=egl or osmesa; the level transfer+state has no pictures."
)
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


def choose_renderer() -> None:
    """Take EGL, or else OSMesa, or else none, where the user has not chosen; dm_control would want a display."""
    there = (name for name, library in _LIBRARIES.items() if find_library(library))
    os.environ.setdefault(CHOICE, next(there, "off"))
