"""The CARLA world against a scripted server; left out where its extra is not installed (`pip install .[carla]`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

collect_ignore = [] if find_spec("carla") else ["test_carla_world.py", "test_carla_server.py", "test_carla_faults.py"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scripted server at the default address; `CARLA_TIMEOUT` is short, since lost pictures are waited for."""
    import carla
    from scripted_carla import ScriptedClient, ScriptedServer

    made = ScriptedServer()
    monkeypatch.setattr(carla, "Client", lambda host, port: ScriptedClient(made, host, port))
    monkeypatch.setenv("CARLA_TIMEOUT", "0.2")
    monkeypatch.delenv("CARLA_SERVER", raising=False)
    return made


@pytest.fixture
def opened(server: Any) -> Iterator[Callable[[str], Any]]:
    """Makes worlds, which are closed at the end."""
    from vla_datasets.worlds.carla.environment import Carla

    worlds = []

    def make(level: str) -> Carla:
        worlds.append(Carla(level))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()
