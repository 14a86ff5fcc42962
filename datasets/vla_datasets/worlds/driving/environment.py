"""The driving world: a route through a town with lights, traffic and weather, seen by a camera in front.

A level is a weather, "clear", "rain", "fog" or "night", with "+traffic" and "+pushed" (`pushes.py`) where it says so;
"mixed" draws weather and traffic for each episode.
Success is to drive the route to within 5 m of its end; the score is the share of it that was driven. Not here: how the
drive goes on (`simulation.py`), how it looks (`scene.py`).
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from vla_datasets.keys import TASK, Sample
from vla_datasets.worlds.driving.levels import read_level
from vla_datasets.worlds.driving.scene import Scene
from vla_datasets.worlds.driving.schema import IMAGE, SIZE
from vla_datasets.worlds.driving.simulation import Simulation
from vla_datasets.worlds.driving.spaces import action_space, observation_space
from vla_datasets.worlds.driving.trip import MAX_STEPS, TASK_TEXT
from vla_datasets.worlds.driving.views import Mount

__all__ = ["Driving"]

# that of the earlier CARLA system
_CAMERA = Mount(forward=1.5, up=2.4, yaw=0.0, pitch=-4.0, field=110.0, width=SIZE, height=SIZE)


class Driving(Simulation, gymnasium.Env):  # type: ignore[misc]  # gymnasium is untyped here
    """One level; everything that is random comes from the episode's seed.

    Raises:
        CollectError: there is no such level.
    """

    max_steps = MAX_STEPS

    def __init__(self, level: str) -> None:
        super().__init__(read_level("driving", level))
        self.level = level
        self._scene = Scene(self.town, [_CAMERA])
        self.action_space, self.observation_space = action_space(), observation_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Sample, dict[str, Any]]:
        """Another route, other lights and traffic; the car stands at its begin.

        Seeds of evaluations have routes that no demonstration has; `info` names the split of a demonstration's route.
        """
        split = self.begin(seed)
        return self._seen(), {"split": split}

    def step(self, action: Any, elapsed: float = 0.0) -> tuple[Sample, float, bool, bool, dict[str, Any]]:
        """A tenth of a second under an action; `elapsed` seconds under the last one come first.

        The reward is the share of the route driven by this step.
        """
        verdict = self.advance(action, elapsed)
        return self._seen(), *verdict

    def render(self) -> npt.NDArray[np.uint8]:
        """The surroundings from above, with the route."""
        return self._scene.from_above(self.ego, self.trip.route)

    def close(self) -> None:
        """Free the renderer's buffers."""
        self._scene.close()

    def _seen(self) -> Sample:
        weather = self.conditions.weather
        (picture,) = self._scene.from_car(self.ego, self.traffic, self.lights, self.clock, weather)
        return {
            IMAGE: weather.drawn(picture, self.drops),
            **self.trip.seen(self.ego, weather, self.traffic.people, self.traffic.vehicles),
            TASK: TASK_TEXT,
        }
