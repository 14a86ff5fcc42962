"""Who demonstrates on a CARLA server: the driving world's expert, or CARLA's autopilot on levels that say so."""

from __future__ import annotations

from vla_datasets.worlds.carla.environment import Carla
from vla_datasets.worlds.driving.expert import expert as pure_pursuit
from vla_datasets.worlds.world import Expert

__all__ = ["expert"]


def expert(world: Carla) -> Expert:
    """The action for the world's state of now: steer, throttle, brake."""
    return world.autopilot if world.has_autopilot else pure_pursuit(world)
