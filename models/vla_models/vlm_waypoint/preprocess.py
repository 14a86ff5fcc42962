"""The robot's side: from a picture, past states and an intent to the inputs, and from a motion to waypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import STATE
from vla_datasets.waymo.names import FUTURE, INTENT, PAST, STATES, one_hot
from vla_models.errors import ObservationError
from vla_models.observed import read_floats
from vla_models.siglip.pixels import seen_picture
from vla_models.vlm_waypoint.config import VlmWaypointConfig
from vla_models.vlm_waypoint.motion import velocity_of, waypoints_of
from vla_models.vlm_waypoint.names import (
    DECIDE,
    IMAGE_INPUT,
    INTENT_INPUT,
    MOTION,
    PAST_VALUES,
    SCORES,
    SEE,
    STATE_INPUT,
)

__all__ = ["VlmWaypointPreprocessor", "state_rows"]

Floats = npt.NDArray[np.float32]


def state_rows(config: VlmWaypointConfig, past: Floats) -> Floats:
    """Past states (N, 16, 6) as the network takes them, (N, 96)."""
    mean, std = (np.asarray(v, np.float32) for v in (config.state_mean, config.state_std))
    rows: Floats = (past.reshape(len(past), PAST_VALUES) - mean) / std
    return rows


class VlmWaypointPreprocessor:
    """Between a frame's inputs and its waypoints it keeps the velocity, which both need."""

    input_names = (IMAGE_INPUT, STATE_INPUT, INTENT_INPUT)

    def __init__(self, config: VlmWaypointConfig) -> None:
        self._config = config
        self.calls = (SEE, DECIDE) if config.split else ()
        self.output_names = (MOTION, SCORES) if config.proposals > 1 else (MOTION,)
        self._velocity: Floats | None = None

    def reset(self, task: str, seed: int = 0) -> None:
        """Frames have nothing to do with each other, and nothing is random."""
        self._velocity = None

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Floats]:
        """Float32 inputs with batch 1.

        Args:
            observation: the camera's picture, uint8 (S, S, 3) in RGB; the past states (16, 6); the intent, 0 to 3.

        Raises:
            ObservationError: something is missing or of another form.
        """
        past = read_floats(observation, STATE, PAST_VALUES).reshape(1, PAST, len(STATES))
        (intent,) = read_floats(observation, INTENT, 1)
        try:
            hot = one_hot([intent])
        except ValueError as error:
            raise ObservationError(f"'{INTENT}' is {intent:g}: {error}.") from error
        picture = seen_picture(self._config, observation)
        self._velocity = velocity_of(past)
        return {IMAGE_INPUT: picture, STATE_INPUT: state_rows(self._config, past), INTENT_INPUT: hot}

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """The waypoints, (1, 20, 2), in m of the car's axes now; of several proposals those with the highest score.

        Raises:
            ObservationError: a motion is not 40 finite numbers, or there was no observation.
        """
        motion = np.asarray(outputs[MOTION], np.float32)
        if self._config.proposals > 1:
            motion = motion[:, np.argmax(outputs[SCORES])]
        if motion.shape != (1, FUTURE, 2) or not np.isfinite(motion).all():
            raise ObservationError(f"The motion is {motion.shape}; it must be (1, {FUTURE}, 2), of finite numbers.")
        if self._velocity is None:
            raise ObservationError("vlm_waypoint: there was no observation, so the car's velocity is not known.")
        return waypoints_of(motion, self._velocity)
