"""A CARLA server played by Python, with the client's own classes wherever they can be made without a server.

Own classes are maps, waypoints, transforms, vectors, controls, settings, weathers and light states. Actors, blueprints,
images and events cannot be made from Python and are stood in for, with what the documentation says of them: an actor is
at the origin until the first tick after it was spawned, data come by callbacks, all errors are RuntimeErrors. `script`
says what goes wrong. Not here: how CARLA's roads, physics and pictures really are.
"""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import carla
import numpy as np

from vla_datasets.worlds.driving.lights import STOP_LINE
from vla_datasets.worlds.driving.opendrive import grid_town
from vla_datasets.worlds.driving.vehicle import Vehicle


@dataclass
class Script:
    """What goes wrong, by frame numbers."""

    client_version: str = "0.9.16"
    server_version: str = "0.9.16"
    lost: set[int] = field(default_factory=set)  # whose picture never comes
    late: set[int] = field(default_factory=set)  # whose picture comes after the next frame's
    twice: set[int] = field(default_factory=set)
    touches: dict[int, str] = field(default_factory=dict)  # what the car touches
    silent: set[int] = field(default_factory=set)  # ticks that time out
    others: set[int] = field(default_factory=set)  # ticks before which another client did one
    interrupts: set[int] = field(default_factory=set)  # ticks in which somebody presses Ctrl-C
    unknown: set[str] = field(default_factory=set)  # blueprints that it has not
    full: Callable[[str, int], bool] = lambda kind, tries: False  # no room for a kind, at its n-th try
    stays: set[str] = field(default_factory=set)  # kinds of actors that cannot be destroyed
    red: bool = False  # all lights


class ScriptedServer:
    """The server's state."""

    def __init__(self) -> None:
        self.script = Script()
        self.map = carla.Map("Carla/Maps/Town10HD_Opt", grid_town())
        self.frame = 100
        self.settings = carla.WorldSettings()
        self.weather = carla.WeatherParameters()
        self.manager = ScriptedManager()
        self.actors: list[ScriptedActor] = []
        self.world = ScriptedWorld(self)
        self.loaded: list[str] = []
        self.seeds: list[int] = []
        self.spawned: dict[str, int] = {}
        self.tries: dict[str, int] = {}
        self.lights = [ScriptedLight(self, end) for end in self._ends()]
        self._held: Any = None

    def _ends(self) -> list[Any]:
        """The waypoints at the stop lines."""
        begins = {(w.road_id, w.lane_id): w for pair in self.map.get_topology() for w in pair if not w.is_junction}
        found = []
        for begin in begins.values():
            way = begin.next_until_lane_end(0.5)
            found.append(way[-1 - round(STOP_LINE / 0.5)])
        return found

    @property
    def ego(self) -> ScriptedActor:
        return next(actor for actor in self.actors if actor.attributes.get("role_name") == "hero")

    def tick(self) -> int:
        script = self.script
        if self.frame + 1 in script.silent:
            raise RuntimeError("time-out of 200ms while waiting for the simulator")
        if self.frame + 1 in script.interrupts:
            raise KeyboardInterrupt
        if self.frame + 1 in script.others:
            self.frame += 1
        self.frame += 1
        seconds = self.settings.fixed_delta_seconds or 0.03
        for actor in self.actors:
            actor.move(seconds)
        for actor in list(self.actors):
            if actor.listener is not None:
                self._send(actor)
        return self.frame

    def _send(self, sensor: ScriptedActor) -> None:
        script, frame = self.script, self.frame
        if sensor.type_id == "sensor.other.collision":
            if frame in script.touches:
                sensor.listener(
                    SimpleNamespace(frame=frame, other_actor=SimpleNamespace(type_id=script.touches[frame]))
                )
            return
        image = picture(frame, int(sensor.attributes["image_size_x"]), int(sensor.attributes["image_size_y"]))
        if frame in script.lost:
            return
        if frame in script.late:
            self._held = image
            return
        for _ in range(2 if frame in script.twice else 1):
            sensor.listener(image)
        if self._held is not None:
            sensor.listener(self._held)
            self._held = None


@functools.cache
def _background(width: int, height: int) -> np.ndarray:
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[0::2, 1::2, 1], pixels[1::2, 0::2, 1], pixels[1::2, 1::2, 1] = 1, 2, 3
    pixels[..., 2] = np.arange(height)[:, None] // 4
    pixels[..., 3] = 255
    return pixels


def picture(frame: int, width: int, height: int) -> Any:
    """BGRA bytes: blue is the frame's number, green 0, 1, 2, 3 over two columns and rows, red the row's quarter."""
    pixels = _background(width, height).copy()
    pixels[..., 0] = frame % 256
    return SimpleNamespace(frame=frame, width=width, height=height, raw_data=memoryview(pixels.tobytes()))


class ScriptedClient:
    def __init__(self, server: ScriptedServer, host: str, port: int) -> None:
        self.server, self.timeout = server, 5.0

    def set_timeout(self, seconds: float) -> None:
        self.timeout = seconds

    def get_client_version(self) -> str:
        return self.server.script.client_version

    def get_server_version(self) -> str:
        return self.server.script.server_version

    def get_available_maps(self) -> list[str]:
        return ["/Game/Carla/Maps/Town03", "/Game/Carla/Maps/Town10HD_Opt"]

    def get_world(self) -> ScriptedWorld:
        return self.server.world

    def load_world(self, name: str) -> ScriptedWorld:
        assert self.timeout > 60, "loading takes longer than other calls"
        self.server.loaded.append(name)
        return self.server.world

    def get_trafficmanager(self, port: int) -> ScriptedManager:
        self.server.manager.port = port
        return self.server.manager


class ScriptedManager:
    def __init__(self) -> None:
        self.synchronous, self.seeds, self.gap, self.port = False, [], 0.0, 0
        self.lit: list[bool] = []
        self.paths: list[list[Any]] = []

    def set_synchronous_mode(self, on: bool) -> None:
        self.synchronous = on

    def set_random_device_seed(self, seed: int) -> None:
        self.seeds.append(seed)

    def set_global_distance_to_leading_vehicle(self, metres: float) -> None:
        self.gap = metres

    def set_path(self, car: Any, path: list[Any]) -> None:
        assert all(isinstance(place, carla.Location) for place in path)
        self.paths.append(path)

    def control_of(self, frame: int) -> Any:
        """What it has the policy's car do in a frame, on autopilot."""
        return carla.VehicleControl(steer=0.125 * (frame % 2), throttle=0.25 + 0.25 * (frame % 3), brake=0.0)

    def update_vehicle_lights(self, car: Any, on: bool) -> None:
        self.lit.append(on)


class ScriptedMap:
    """The client's map, which knows no spawn points without a server."""

    def __init__(self, server: ScriptedServer) -> None:
        self._map = server.map
        self.name = server.map.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._map, name)

    def get_spawn_points(self) -> list[Any]:
        places = self._map.generate_waypoints(9.0)
        return [
            carla.Transform(w.transform.location + carla.Location(z=0.3), w.transform.rotation)
            for w in places
            if not w.is_junction
        ]


class ScriptedWorld:
    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.goals = np.random.default_rng(0)

    def get_map(self) -> ScriptedMap:
        return ScriptedMap(self.server)

    def tick(self, seconds: float) -> int:
        assert self.server.settings.synchronous_mode, "a server that runs by itself is not ticked"
        return self.server.tick()

    def get_settings(self) -> Any:
        old = self.server.settings
        fields = [name for name in dir(old) if name[0].islower()]
        return carla.WorldSettings(**{name: getattr(old, name) or 0 for name in fields})

    def apply_settings(self, settings: Any) -> int:
        self.server.settings = settings
        return self.server.frame

    def get_weather(self) -> Any:
        return self.server.weather

    def set_weather(self, weather: Any) -> None:
        self.server.weather = weather

    def set_pedestrians_seed(self, seed: int) -> None:
        self.server.seeds.append(seed)
        self.goals = np.random.default_rng(seed)

    def reset_all_traffic_lights(self) -> None:
        pass

    def get_random_location_from_navigation(self) -> Any:
        x, y = self.goals.uniform(0, 160, 2)
        return None if x < 8 else carla.Location(float(x), float(y), 0.2)

    def get_actors(self) -> Any:
        lights = self.server.lights
        return SimpleNamespace(
            filter=lambda pattern: lights if fnmatch.fnmatch("traffic.traffic_light", pattern) else []
        )

    def get_blueprint_library(self) -> ScriptedLibrary:
        return ScriptedLibrary(self.server)

    def try_spawn_actor(self, blueprint: ScriptedBlueprint, place: Any, parent: Any) -> Any:
        assert isinstance(place, carla.Transform)
        tries = self.server.tries[blueprint.id] = self.server.tries.get(blueprint.id, 0) + 1
        if self.server.script.full(blueprint.id, tries):
            return None
        actor = ScriptedActor(self.server, blueprint, place, parent)
        self.server.actors.append(actor)
        self.server.spawned[blueprint.id] = self.server.spawned.get(blueprint.id, 0) + 1
        return actor


class ScriptedLibrary:
    KINDS: ClassVar[dict[str, str]] = {
        "vehicle.tesla.model3": "car",
        "vehicle.audi.tt": "car",
        "vehicle.bh.crossbike": "bicycle",
        "walker.pedestrian.0001": "",
        "walker.pedestrian.0002": "",
        "controller.ai.walker": "",
        "sensor.camera.rgb": "",
        "sensor.other.collision": "",
    }

    def __init__(self, server: ScriptedServer) -> None:
        self.names = [name for name in self.KINDS if name not in server.script.unknown]

    def find(self, name: str) -> ScriptedBlueprint:
        if name not in self.names:
            raise IndexError(f"blueprint '{name}' not found")
        return ScriptedBlueprint(name, self.KINDS[name])

    def filter(self, pattern: str) -> list[ScriptedBlueprint]:
        return [self.find(name) for name in self.names if fnmatch.fnmatch(name, pattern)]


class ScriptedBlueprint:
    def __init__(self, name: str, base: str) -> None:
        self.id, self.values = name, {"base_type": base} if base else {}

    def set_attribute(self, key: str, value: str) -> None:
        assert isinstance(value, str)
        self.values[key] = value

    def has_attribute(self, key: str) -> bool:
        return key in self.values

    def get_attribute(self, key: str) -> Any:
        return SimpleNamespace(as_str=lambda: self.values[key])


class ScriptedLight:
    def __init__(self, server: ScriptedServer, line: Any) -> None:
        self.server, self.line = server, line

    def get_stop_waypoints(self) -> list[Any]:
        return [self.line]

    def get_state(self) -> Any:
        return carla.TrafficLightState.Red if self.server.script.red else carla.TrafficLightState.Green


class ScriptedActor:
    """Any actor; vehicles without autopilot drive as a bicycle, everything else stands."""

    def __init__(self, server: ScriptedServer, blueprint: ScriptedBlueprint, place: Any, parent: Any) -> None:
        self.server, self.type_id, self.attributes, self.parent = server, blueprint.id, dict(blueprint.values), parent
        at = place.location
        self.body = Vehicle(at.x, at.y, math.radians(place.rotation.yaw))
        self.place, self.ticked = place, False
        self.control = carla.VehicleControl()
        self.controls: list[Any] = []
        self.listener: Callable[[Any], None] | None = None
        self.autopilot: int | None = None
        self.goal: Any = None
        self.started = False

    def __getattr__(self, name: str) -> Any:  # vehicles and walkers cannot be stopped
        if name == "stop" and self.type_id.startswith(("sensor.", "controller.")):
            return self._stop
        raise AttributeError(name)

    def move(self, seconds: float) -> None:
        self.ticked = True
        if self.autopilot is not None and self is self.server.ego:  # the others stand
            self.control = self.server.manager.control_of(self.server.frame)
        if self.type_id.startswith("vehicle.") and (self.autopilot is None or self is self.server.ego):
            self.body.drive(self.control.steer, self.control.throttle, self.control.brake, seconds)

    def get_transform(self) -> Any:
        if not self.ticked:
            return carla.Transform()
        body = self.body
        return carla.Transform(
            carla.Location(body.x, body.y, self.place.location.z), carla.Rotation(yaw=math.degrees(body.yaw))
        )

    def get_velocity(self) -> Any:
        body = self.body
        return carla.Vector3D(body.speed * math.cos(body.yaw), body.speed * math.sin(body.yaw), 0.0)

    def apply_control(self, control: Any) -> None:
        assert isinstance(control, carla.VehicleControl)
        self.control = control
        self.controls.append(control)

    def set_autopilot(self, on: bool, port: int) -> None:
        self.autopilot = port if on else None

    def get_control(self) -> Any:
        return self.control

    def set_light_state(self, state: Any) -> None:
        assert isinstance(state, carla.VehicleLightState)

    def listen(self, callback: Callable[[Any], None]) -> None:
        self.listener = callback

    def start(self) -> None:
        assert self.ticked, "a walker's controller starts after a tick"
        self.started = True

    def go_to_location(self, goal: Any) -> None:
        assert isinstance(goal, carla.Location)
        self.goal = goal

    def set_max_speed(self, speed: float) -> None:
        pass

    def _stop(self) -> None:
        self.listener = None

    def destroy(self) -> bool:
        if self.type_id in self.server.script.stays:
            raise RuntimeError(f"failed to destroy {self.type_id}")
        self.server.actors.remove(self)
        return True
