"""A CARLA server that one client moves on, tick by tick, and leaves as it was found.

Synchronous mode with a fixed step, the traffic manager too. Whatever is spawned is destroyed and settings and weather
are restored by `close`, after any error and after Ctrl-C. Not here: what is spawned (`environment.py`, `traffic.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import carla

from vla_datasets.errors import CollectError, WorldError
from vla_isa.errors import did_you_mean

__all__ = ["ADDRESS_VARIABLE", "TICKS_PER_SECOND", "TIMEOUT_VARIABLE", "Address", "Server"]

ADDRESS_VARIABLE, TIMEOUT_VARIABLE = "CARLA_SERVER", "CARLA_TIMEOUT"
TICKS_PER_SECOND = 20
_LOADING = 120.0  # seconds that a town may take to load
_MANAGER_PORT = 6000  # above the server's: 8000 beside 2000, CARLA's own default


@dataclass(frozen=True)
class Address:
    """Where a server is, and seconds after which it counts as not answering."""

    host: str = "127.0.0.1"
    port: int = 2000
    timeout: float = 20.0

    @staticmethod
    def of_environment() -> Address:
        """As CARLA_SERVER (host:port) and CARLA_TIMEOUT (seconds) say.

        Raises:
            CollectError: they are something else.
        """
        text = os.environ.get(ADDRESS_VARIABLE, f"{Address.host}:{Address.port}")
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) < 65536 - _MANAGER_PORT:
            raise CollectError(f"{ADDRESS_VARIABLE} is '{text}'; it must be host:port, for example 127.0.0.1:2000.")
        seconds = os.environ.get(TIMEOUT_VARIABLE, f"{Address.timeout:g}")
        if not re.fullmatch(r"\d{1,4}(\.\d+)?", seconds) or float(seconds) <= 0:
            raise CollectError(f"{TIMEOUT_VARIABLE} is '{seconds}'; it must be seconds above 0, for example 20.")
        return Address(host, int(port), float(seconds))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Server:
    """A server with a town, stopped between ticks.

    Attributes:
        address: of it.
        world: CARLA's own world.
        manager: its traffic manager.
        manager_port: of the traffic manager.

    Raises:
        WorldError: nobody answers, the server has another version than the client, or the town cannot be loaded.
        CollectError: there is no such town.
    """

    def __init__(self, address: Address, town: str) -> None:
        self.address = address
        self._frame: int | None = None
        self._actors: list[Any] = []
        self._undo = contextlib.ExitStack()
        try:
            with self._asked("connect"):
                client = carla.Client(address.host, address.port)
                client.set_timeout(address.timeout)
                versions = client.get_client_version(), client.get_server_version()
            self._same_version(*versions)
            self.world = self._town(client, town)
            self._take_over(client)
        except BaseException:
            self.close()
            raise

    def tick(self) -> int:
        """Move on by one step; the number of the frame.

        Raises:
            WorldError: no answer in time, or somebody else moves the server on too.
        """
        with self._asked("do a step"):
            frame = int(self.world.tick(self.address.timeout))
        before, self._frame = self._frame, frame
        if before is not None and frame != before + 1:
            raise WorldError(
                f"the CARLA server at {self.address} went from frame {before} to {frame} in one step: another client "
                "moves it on too; stop that, or use a server of its own"
            )
        return frame

    def blueprint(self, name: str, **attributes: str) -> Any:
        """What is called so in CARLA's library, with attributes set.

        Raises:
            WorldError: the server does not know it.
        """
        try:
            found = self.world.get_blueprint_library().find(name)
        except (IndexError, RuntimeError) as error:
            raise WorldError(f"the CARLA server at {self.address} knows no '{name}'") from error
        for key, value in attributes.items():
            found.set_attribute(key, value)
        return found

    def spawn(self, blueprint: Any, places: Iterable[Any], parent: Any = None) -> Any:
        """The new actor at the first of the places where there is room, None where there is none anywhere.

        Args:
            blueprint: what it is.
            places: `carla.Transform`s, relative to the parent where there is one.
            parent: the actor that it is fixed to.
        """
        for place in places:
            with self._asked(f"spawn {blueprint.id}"):
                actor = self.world.try_spawn_actor(blueprint, place, parent)
            if actor is not None:
                self._actors.append(actor)
                return actor
        return None

    def clear(self) -> None:
        """Destroy what was spawned, the newest first; what cannot be destroyed is left."""
        while self._actors:
            actor = self._actors[-1]
            with contextlib.suppress(RuntimeError):
                if hasattr(actor, "stop"):  # sensors, and the controllers of walkers
                    actor.stop()
            with contextlib.suppress(RuntimeError):
                actor.destroy()
            self._actors.pop()

    def close(self) -> None:
        """Leave the server as it was found; a second time does nothing."""
        self._undo.close()

    def _take_over(self, client: Any) -> None:
        """Stop the server between ticks. What is undone comes in the opposite order: actors first, settings last."""
        with self._asked("change its settings"):
            before, weather = self.world.get_settings(), self.world.get_weather()
            self._undo.callback(_quietly, self.world.apply_settings, before)
            self._undo.callback(_quietly, self.world.set_weather, weather)
            mine = self.world.get_settings()
            mine.synchronous_mode, mine.no_rendering_mode = True, False
            mine.fixed_delta_seconds = 1 / TICKS_PER_SECOND
            mine.substepping, mine.max_substep_delta_time, mine.max_substeps = True, 0.01, 10
            mine.deterministic_ragdolls = True
            self.world.apply_settings(mine)
            self.manager_port = self.address.port + _MANAGER_PORT
            self.manager = client.get_trafficmanager(self.manager_port)
            self._undo.callback(_quietly, self.manager.set_synchronous_mode, False)
            self.manager.set_synchronous_mode(True)
            self._undo.callback(self.clear)

    def _town(self, client: Any, town: str) -> Any:
        with self._asked("say what towns it has"):
            towns = sorted(path.rpartition("/")[2] for path in client.get_available_maps())
        if town not in towns:
            raise CollectError(
                f"The CARLA server at {self.address} has no town '{town}'."
                + did_you_mean(town, towns, f"It has {', '.join(towns)}.")
            )
        with self._asked(f"load {town}"):
            world = client.get_world()
            if world.get_map().name.rpartition("/")[2] != town:
                client.set_timeout(max(_LOADING, self.address.timeout))
                world = client.load_world(town)
                client.set_timeout(self.address.timeout)
        return world

    def _same_version(self, client: str, server: str) -> None:
        ours, theirs = (re.match(r"\d+\.\d+\.\d+", text) for text in (client, server))
        if ours is None or theirs is None or ours[0] != theirs[0]:
            raise WorldError(
                f"the CARLA server at {self.address} is version {server} and the client {client}; they must be equal: "
                f"start a server {client}, or pip install carla=={theirs[0] if theirs else server}"
            )

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # CARLA's only class of errors
            raise WorldError(
                f"the CARLA server at {self.address} did not {what} ({error}); is it running? {ADDRESS_VARIABLE} "
                f"(host:port) says where, {TIMEOUT_VARIABLE} how many seconds to wait"
            ) from error


def _quietly(function: Any, *arguments: Any) -> None:
    """Something to undo on a server that may be gone."""
    with contextlib.suppress(RuntimeError):
        function(*arguments)
