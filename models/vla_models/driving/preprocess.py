"""From what the driving world shows to the inputs of a driving policy, and from its outputs to the car's controls.

Not here: the batches of training (`batches.py`; a test holds that both make the same inputs), the sizes of one policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import STATE
from vla_datasets.shrink import shrink
from vla_models.driving.names import (
    BRANCH_OF_COMMAND,
    BRANCHES,
    CAMERA,
    COMMAND,
    COMMAND_KEY,
    CONCEPT_KEYS,
    CONCEPTS,
    CONTROL,
    IMAGE,
    MEASURES,
    SPEED_UNIT,
    WORLD_SIZE,
)
from vla_models.errors import ObservationError
from vla_models.observed import read_floats, read_number, read_picture

__all__ = ["DrivingPreprocessor"]

_BRAKE_FROM = 0.1  # less is none: a policy never says exactly 0
Floats = npt.NDArray[np.float32]


class DrivingPreprocessor:
    """Keeps the last images and the last action of one episode.

    Args:
        side: pixels of the network's image.
        frames: images that the network sees, oldest first.
        columns: of the network's control: 3 for steer, throttle and brake, 2 for steer and throttle minus brake.
        sees_all: whether the network takes command and measures besides the image.
        past: whether the measures hold the last action; 0 is in its place where they do not.

    Attributes:
        concepts: what the last outputs say is true, as probabilities by key.
    """

    output_names = (CONTROL, CONCEPTS)

    def __init__(self, side: int, frames: int, columns: int, sees_all: bool = True, past: bool = True) -> None:
        self.input_names = (IMAGE, COMMAND, MEASURES) if sees_all else (IMAGE,)
        self._side, self._columns, self._past = side, columns, past
        self._images: deque[npt.NDArray[np.uint8]] = deque(maxlen=frames)
        self._before = np.zeros(2, np.float32)
        self.concepts: dict[str, float] = {}

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the last episode; what to do is in each observation's command, and nothing here is random."""
        self._images.clear()
        self._before = np.zeros(2, np.float32)
        self.concepts = {}

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Floats]:
        """Float32 inputs: image (1, 3 * frames, side, side) in [0, 1], command (1, 6) one-hot, measures (1, 3).

        Args:
            observation: image uint8 (256, 256, 3) in RGB, speed in m/s, and the number of the command. The first image
                of an episode fills the whole stack.

        Raises:
            ObservationError: something is missing, of another shape or type, or no command of the world.
        """
        seen = read_picture(observation, CAMERA, WORLD_SIZE, WORLD_SIZE)
        speed = read_floats(observation, STATE, 1)
        command = read_number(observation, COMMAND_KEY, len(BRANCH_OF_COMMAND))
        self._images.append(shrink(seen, self._side))
        while len(self._images) < (self._images.maxlen or 1):
            self._images.append(self._images[-1])
        stack = np.concatenate([frame.transpose(2, 0, 1) for frame in self._images])
        found = {
            IMAGE: stack[np.newaxis].astype(np.float32) / np.float32(255.0),
            COMMAND: np.eye(len(BRANCHES), dtype=np.float32)[[BRANCH_OF_COMMAND[command]]],
            MEASURES: np.concatenate([self._before, speed / np.float32(SPEED_UNIT)])[np.newaxis],
        }
        return {name: found[name] for name in self.input_names}

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """One action, (1, 3): steer in [-1, 1], throttle and brake in [0, 1]. It is an input of the next step.

        Raises:
            ObservationError: the control is not as many finite numbers as it should be.
        """
        control = np.asarray(outputs[CONTROL], np.float32)
        if control.shape != (1, self._columns) or not np.isfinite(control).all():
            raise ObservationError(f"The policy's control is {control}; it must be {self._columns} finite numbers.")
        steer, *rest = control[0]
        throttle, brake = rest if len(rest) == 2 else (rest[0], -rest[0])
        brake = brake if brake >= _BRAKE_FROM else 0.0
        action = np.clip(np.array([steer, throttle, brake], np.float32), [-1, 0, 0], 1).astype(np.float32)
        if self._past:
            self._before = np.array([action[0], action[1] - action[2]], np.float32)
        says = 1 / (1 + np.exp(-np.asarray(outputs[CONCEPTS], np.float64)[0]))
        self.concepts = dict(zip(CONCEPT_KEYS, says.tolist(), strict=True))
        return action[np.newaxis]
