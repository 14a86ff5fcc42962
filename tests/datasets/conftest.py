"""What tests of several worlds need."""

from __future__ import annotations

import contextlib

import pytest

from vla_datasets.errors import CollectError
from vla_datasets.worlds.registry import find_world


@pytest.fixture(scope="session")
def mujoco_renderer() -> None:
    """Skips where MuJoCo has nothing to draw with: EGL and OSMesa are the system's, not pip's."""
    with contextlib.closing(find_world("aloha").make("transfer+top")) as world:
        try:
            world.reset(seed=0)
        except CollectError as error:
            pytest.skip(str(error))
