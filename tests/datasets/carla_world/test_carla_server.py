"""Connecting to a server, and giving it back: versions, towns, settings, actors, Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import carla
import numpy as np
import pytest
from scripted_carla import ScriptedServer

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.errors import CollectError, WorldError
from vla_datasets.worlds.carla.environment import Carla
from vla_datasets.worlds.carla.server import Address, Server

Make = Callable[[str], Carla]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settings_of(server: ScriptedServer) -> tuple[bool, float, bool]:
    now = server.settings
    return now.synchronous_mode, now.fixed_delta_seconds or 0.0, server.manager.synchronous


def test_a_server_that_is_not_there_is_reported_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """CARLA's own client, and a port at which nobody listens."""
    port = next(port for port in range(20_011, 20_100) if not listens(port))
    monkeypatch.setenv("CARLA_SERVER", f"127.0.0.1:{port}")
    monkeypatch.setenv("CARLA_TIMEOUT", "0.5")
    with pytest.raises(WorldError, match=f"127.0.0.1:{port} did not connect .*time-out of 500ms.*CARLA_SERVER"):
        Carla("clear")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CARLA_SERVER", "here"), ("CARLA_SERVER", ":2000"), ("CARLA_SERVER", "a:0"), ("CARLA_SERVER", "a:60000")]
    + [("CARLA_TIMEOUT", text) for text in ("0", "-1", "soon", "nan", "1e9")],
)
def test_wrong_addresses(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CollectError, match=f"{name} is '{value}'"):
        Address.of_environment()


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARLA_SERVER", "::1:3000")
    monkeypatch.setenv("CARLA_TIMEOUT", "2.5")
    assert Address.of_environment() == Address("::1", 3000, 2.5)


@pytest.mark.parametrize(("client", "theirs"), [("0.9.16", "0.9.15"), ("0.9.15-2-gabc", "0.9.16"), ("0.9.16", "dev")])
def test_another_version_is_refused_before_anything_is_changed(
    server: ScriptedServer, opened: Make, client: str, theirs: str
) -> None:
    server.script.client_version, server.script.server_version = client, theirs
    with pytest.raises(WorldError, match=f"is version {theirs} and the client {client}.*pip install carla=={theirs}"):
        opened("clear")
    assert settings_of(server) == (False, 0.0, False)


def test_builds_of_one_version_fit(server: ScriptedServer, opened: Make) -> None:
    server.script.server_version = "0.9.16-7-gdeadbee"
    opened("clear")


def test_levels_and_towns(server: ScriptedServer, opened: Make) -> None:
    for level in ("snow", "clear+pushed+traffic", "clear+", "@Town03"):
        with pytest.raises(CollectError, match="Unknown carla level"):
            opened(level)
    with pytest.raises(CollectError, match=r"has no town 'Town30'.*Town03"):
        opened("clear@Town30")
    assert settings_of(server) == (False, 0.0, False) and not server.loaded
    opened("clear")
    assert not server.loaded  # it is the one that is there
    opened("clear@Town03")
    assert server.loaded == ["Town03"]


def test_the_server_is_synchronous_while_the_world_is_open_and_as_it_was_afterwards(
    server: ScriptedServer, opened: Make
) -> None:
    before = server.settings = carla.WorldSettings(no_rendering_mode=True, max_substeps=4)
    fog = server.weather = carla.WeatherParameters(fog_density=33.0)
    preset = carla.WeatherParameters.HardRainNoon.wetness
    world = opened("rain")
    assert settings_of(server) == (True, 0.05, True) and not server.settings.no_rendering_mode
    assert server.settings.substepping and server.settings.max_substep_delta_time * server.settings.max_substeps >= 0.05
    assert server.manager.port == 8000
    world.reset(seed=0)
    assert (server.weather.wetness, server.weather.fog_density, server.weather.precipitation) == (100, 10, 100)
    assert carla.WeatherParameters.HardRainNoon.wetness == preset  # the client's preset is not ours to change
    assert server.actors
    world.close()
    assert not server.actors and not server.manager.synchronous
    assert server.settings == before and server.weather.fog_density == fog.fog_density
    world.close()  # once more


def test_actors_that_cannot_be_destroyed_do_not_keep_the_settings_from_being_restored(
    server: ScriptedServer, opened: Make
) -> None:
    world = opened("clear+traffic")
    world.reset(seed=0)
    server.script.stays = {"vehicle.audi.tt"}
    world.close()
    assert {actor.type_id for actor in server.actors} == {"vehicle.audi.tt"}
    assert settings_of(server) == (False, 0.0, False)


@pytest.mark.parametrize("ticks", [0, 3, 40])
def test_ctrl_c_cleans_up(server: ScriptedServer, tmp_path: Any, ticks: int) -> None:
    """In the warm-up of the first episode, or in its drive."""
    server.script.interrupts = {server.frame + 1 + ticks}
    with pytest.raises(KeyboardInterrupt):
        collect(CollectOptions("carla", "clear+traffic", 2), tmp_path / "out")
    assert not server.actors and settings_of(server) == (False, 0.0, False)
    assert not list(tmp_path.glob("out/meta")) and not list(tmp_path.rglob("*.parquet"))


def test_any_error_cleans_up(server: ScriptedServer, tmp_path: Any) -> None:
    server.script.silent = {server.frame + 60}
    with pytest.raises(WorldError, match=r"did not do a step .*time-out"):
        collect(CollectOptions("carla", "clear", 2), tmp_path / "out")
    assert not server.actors and settings_of(server) == (False, 0.0, False)


def test_an_error_while_it_is_taken_over_leaves_the_server_as_it_was(
    server: ScriptedServer, opened: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(on: bool) -> None:
        raise RuntimeError("trying to create rpc server for traffic manager; bind error")

    monkeypatch.setattr(server.manager, "set_synchronous_mode", refuses)
    with pytest.raises(WorldError, match=r"did not change its settings .*bind error"):
        opened("clear")
    assert not server.settings.synchronous_mode


def test_another_client_that_moves_the_server_on_is_noticed(server: ScriptedServer) -> None:
    mine = Server(Address(), "Town10HD_Opt")
    mine.tick()
    server.script.others = {server.frame + 1}
    with pytest.raises(WorldError, match="went from frame 101 to 103 in one step: another client"):
        mine.tick()
    mine.close()


def test_traffic_is_seeded_and_the_same_again(server: ScriptedServer, opened: Make) -> None:
    world = opened("night+traffic")
    places = []
    for seed in (4, 4, 5):
        world.reset(seed=seed)
        places.append((world.traffic.vehicles, world.traffic.people, world.trip.route.points.tolist()))
        kinds = [actor.type_id for actor in server.actors]
        assert kinds.count("vehicle.audi.tt") + kinds.count("vehicle.tesla.model3") == 41
        assert "vehicle.bh.crossbike" not in kinds  # cars only
        assert sum(kind.startswith("walker.") for kind in kinds) == kinds.count("controller.ai.walker") == 40
        assert all(
            a.autopilot == 8000 for a in server.actors if a.type_id.startswith("vehicle.") and a is not server.ego
        )
        assert server.ego.autopilot is None
        assert all(a.started for a in server.actors if a.type_id == "controller.ai.walker")
        away = np.array(world.traffic.vehicles)[:, :2] - [world.ego.x, world.ego.y]
        assert np.hypot(*away.T).min() > 10
    assert places[0] == places[1] != places[2]
    assert server.seeds[0] == server.seeds[1] != server.seeds[2] and server.manager.seeds == server.seeds
    assert server.manager.gap == 2.5 and all(server.manager.lit)
