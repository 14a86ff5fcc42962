"""The list of worlds. Each names its code as `module:name`, so that listing them imports none."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_datasets.errors import CollectError
from vla_isa.registry import find_named

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vla_datasets.worlds.world import Expert, Schema, World

__all__ = ["WORLDS", "WorldSpec", "find_world"]


@dataclass(frozen=True)
class WorldSpec:
    """One world: its name, a line about it, its levels (the first is the default), and where its code is."""

    name: str
    text: str
    levels: tuple[str, ...]  # examples; a world may know more
    world: str  # class, made with a level
    expert: str  # function: world -> Expert
    schema: str  # a Schema, or a function: level -> Schema
    extras: str = "envs"  # of the package, that it needs
    single: bool = False  # one at a time: what it stands on cannot be shared
    long: bool = False  # an episode takes seconds
    balances: tuple[str, ...] = ()  # by what its frames can be balanced
    imported: bool = False  # recordings of others become its data sets
    shares: str = ""  # function: data set, split, one of `balances` -> of each frame how often it is learnt from

    def make(self, level: str) -> World:
        """The world at a level.

        Raises:
            CollectError: a package is missing, or there is no such level.
        """
        world: World = self._load(self.world)(level)
        return world

    def expert_of(self, world: World) -> Expert:
        """The expert for the episode in progress; it may be asked at any state."""
        expert: Expert = self._load(self.expert)(world)
        return expert

    def frame(self, level: str = "") -> Schema:
        """What a demonstration's frame holds, on a level (default: the first one).

        Raises:
            CollectError: a package is missing, or there is no such level.
        """
        found = self._load(self.schema)
        schema: Schema = found(level or self.levels[0]) if callable(found) else found
        return schema

    def frame_shares(self, root: Path, split: str, by: str) -> npt.NDArray[np.float64]:
        """Of each frame (N,) of a split of the world's data set how often it is worth learning from, up to 1.

        Raises:
            CollectError: the world does not balance by this.
            DatasetError: the data set is not the world's, or damaged.
        """
        if by not in self.balances:
            known = ", ".join(self.balances) or "nothing"
            raise CollectError(f"'balance' is '{by}'; the world '{self.name}' balances by {known}.")
        found: npt.NDArray[np.float64] = self._load(self.shares)(root, split, by)
        return found

    def _load(self, place: str) -> Any:
        module, _, name = place.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("vla_"):
                raise
            raise CollectError(
                f"the world '{self.name}' needs the package '{error.name}', which is not installed; "
                f"pip install 'vla-toolchain[{self.extras}]'"
            ) from error


WORLDS: tuple[WorldSpec, ...] = (  # the first one is what commands take where none is named
    WorldSpec(
        "babyai",
        "BabyAI levels, played by BabyAIBot",
        ("GoToObj", "GoToRedBall", "GoToLocal"),
        world="vla_datasets.worlds.babyai.environment:BabyAI",
        expert="vla_datasets.worlds.babyai.expert:expert",
        schema="vla_datasets.worlds.babyai.schema:SCHEMA",
    ),
    WorldSpec(
        "aloha",
        "two arms hand a cube over, by rehearsed ways of their fingertips",
        ("transfer", "transfer+top", "transfer+state"),
        world="vla_datasets.worlds.aloha.environment:Aloha",
        expert="vla_datasets.worlds.aloha.expert:expert",
        schema="vla_datasets.worlds.aloha.schema:schema",
        extras="envs,aloha",
        long=True,
        balances=("moving",),
        shares="vla_datasets.worlds.aloha.balance:frame_shares",
    ),
    WorldSpec(
        "carla",
        "the driving world on a CARLA server (CARLA_SERVER=host:port)",
        ("clear", "clear+traffic", "mixed+pushed", "rain+traffic", "clear+traffic+autopilot", "clear@Town03"),
        world="vla_datasets.worlds.carla.environment:Carla",
        expert="vla_datasets.worlds.carla.expert:expert",
        schema="vla_datasets.worlds.driving.schema:SCHEMA",
        extras="envs,carla",
        single=True,
        long=True,
        balances=("command", "steering"),
        shares="vla_datasets.worlds.driving.balance:frame_shares",
    ),
    WorldSpec(
        "driving",
        "a town with lights, traffic and weather, driven by pure pursuit",
        ("clear", "clear+traffic", "mixed+pushed", "rain+traffic", "fog+traffic", "night+traffic"),
        world="vla_datasets.worlds.driving.environment:Driving",
        expert="vla_datasets.worlds.driving.expert:expert",
        schema="vla_datasets.worlds.driving.schema:SCHEMA",
        extras="envs,driving",
        long=True,
        balances=("command", "steering"),
        shares="vla_datasets.worlds.driving.balance:frame_shares",
    ),
    WorldSpec(
        "pusht",
        "Push-T in keypoints, with one goal or one an episode, by planned pushes",
        ("fixed", "varied"),
        world="vla_datasets.worlds.pusht.environment:PushT",
        expert="vla_datasets.worlds.pusht.expert:expert",
        schema="vla_datasets.worlds.pusht.schema:SCHEMA",
        extras="envs,pusht",
        imported=True,
    ),
    WorldSpec(
        "pusht_pixels",
        "Push-T with pictures of the plane and of the goal",
        ("fixed", "varied"),
        world="vla_datasets.worlds.pusht_pixels.environment:PushTPixels",
        expert="vla_datasets.worlds.pusht.expert:expert",
        schema="vla_datasets.worlds.pusht_pixels.schema:SCHEMA",
        extras="envs,pusht",
        imported=True,
    ),
    WorldSpec(
        "rover",
        "a rover with camera and telemetry: risk, reason and action of every moment",
        ("watched", "heeded", "watched+clear", "heeded+clear"),
        world="vla_datasets.worlds.rover.environment:Rover",
        expert="vla_datasets.worlds.rover.expert:expert",
        schema="vla_datasets.worlds.rover.schema:SCHEMA",
        extras="envs,driving",
        balances=("weight",),
        shares="vla_datasets.worlds.rover.balance:frame_shares",
    ),
)


def find_world(name: str) -> WorldSpec:
    """The registered world called `name`.

    Raises:
        CollectError: none is.
    """
    return find_named("world", name, WORLDS, CollectError)
