"""From observations to the network's inputs and from its outputs to actions: all the code that a robot needs.

Not here: the batches of training (`model.py`); a test holds that both make the same inputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import image
from vla_models.babyai_cnn.config import ACTIONS, FRAMES, IMAGE_SIZE
from vla_models.babyai_cnn.names import ACTION_LOGITS, IMAGE, MISSION, PREVIOUS_ACTION
from vla_models.babyai_cnn.words import bag_of_words
from vla_models.errors import ObservationError
from vla_models.observed import read_picture

__all__ = ["CAMERA", "BabyAIPreprocessor"]

CAMERA = image("front")


class BabyAIPreprocessor:
    """Keeps the last four images and the last action of one episode.

    Call `reset(task)` at the start of each episode, then per step `inputs(observation)` and `actions(outputs)`.
    """

    input_names = (IMAGE, MISSION, PREVIOUS_ACTION)
    output_names = (ACTION_LOGITS,)

    def __init__(self, config: object = None) -> None:
        self._images: deque[npt.NDArray[np.uint8]] = deque(maxlen=FRAMES)
        self._mission: npt.NDArray[np.float32] | None = None
        self._previous = np.zeros(ACTIONS, np.float32)

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the last episode and read the new mission; nothing here is random."""
        self._images.clear()
        self._previous = np.zeros(ACTIONS, np.float32)
        self._mission = bag_of_words(task)

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Float32 inputs: image (1, 12, 56, 56) in [0, 1], mission (1, 64), previous_action (1, 7).

        Args:
            observation: the agent's view now, uint8 (56, 56, 3). The first one of an episode fills the whole stack.

        Raises:
            ObservationError: the image is missing, or of another shape or type, or no mission was given.
        """
        if self._mission is None:
            raise ObservationError("No mission yet: call reset(task) at the start of each episode.")
        seen = read_picture(observation, CAMERA, IMAGE_SIZE, IMAGE_SIZE)
        self._images.append(seen)
        while len(self._images) < FRAMES:
            self._images.append(seen)
        stack = np.concatenate([frame.transpose(2, 0, 1) for frame in self._images])
        return {
            IMAGE: stack[np.newaxis].astype(np.float32) / np.float32(255.0),
            MISSION: self._mission[np.newaxis].copy(),
            PREVIOUS_ACTION: self._previous[np.newaxis].copy(),
        }

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        """One action, (1,): the largest logit, the first of equal ones. It is an input of the next step.

        Raises:
            ObservationError: the logits are not seven finite numbers.
        """
        logits = np.asarray(outputs[ACTION_LOGITS])
        if logits.shape != (1, ACTIONS) or not np.isfinite(logits).all():
            raise ObservationError(f"The policy's logits are {logits}; they must be {ACTIONS} finite numbers.")
        action = np.array([np.argmax(logits)], np.int64)
        self.correct(action)
        return action

    def correct(self, action: Any) -> None:
        """What was really done in this step, where it is not what `actions` gave."""
        self._previous = np.zeros(ACTIONS, np.float32)
        self._previous[int(np.asarray(action).item())] = 1.0
