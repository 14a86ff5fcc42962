"""From observations to the network's inputs, with numpy alone: this is all the code that a robot needs.

`Preprocessor` is the closed loop's (one episode at a time), `stack_indices` and friends the trainer's (all
frames of a data set at once). Both make the same inputs; a test compares them.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from vla_models.babyai_cnn.config import ACTIONS, FRAMES, IMAGE_SIZE
from vla_models.babyai_cnn.words import bag_of_words
from vla_models.errors import ObservationError
from vla_models.keys import IMAGE, MISSION, PREVIOUS_ACTION

__all__ = ["NO_ACTION", "Preprocessor", "one_hot", "previous_actions", "stack_indices"]

NO_ACTION = -1  # before the first step of an episode; its one-hot is all zero
_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)


class Preprocessor:
    """Keeps the last four images and the last action of one episode.

    Call `reset(mission)` at the start of each episode, then per step `inputs(image)` and, when the action is
    chosen, `acted(action)`.
    """

    def __init__(self) -> None:
        self._images: deque[npt.NDArray[np.uint8]] = deque(maxlen=FRAMES)
        self._mission: npt.NDArray[np.float32] | None = None
        self._previous = NO_ACTION

    def reset(self, mission: str) -> None:
        """Forget the last episode and read the new mission."""
        self._images.clear()
        self._previous = NO_ACTION
        self._mission = bag_of_words(mission)

    def inputs(self, image: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        """Float32 inputs: image (1, 12, 56, 56) in [0, 1], mission (1, 64), previous_action (1, 7).

        Args:
            image: uint8 (56, 56, 3), the agent's view now. The first one of an episode fills the whole stack.

        Raises:
            ObservationError: the image is of another shape or type, or no mission was given.
        """
        if self._mission is None:
            raise ObservationError("No mission yet: call reset(mission) at the start of each episode.")
        if image.shape != _SHAPE or image.dtype != np.uint8:
            raise ObservationError(f"The image is {image.dtype} {image.shape}; it must be uint8 {_SHAPE}.")
        self._images.append(image)
        while len(self._images) < FRAMES:
            self._images.append(image)
        stack = np.concatenate([frame.transpose(2, 0, 1) for frame in self._images])
        return {
            IMAGE: stack[np.newaxis].astype(np.float32) / np.float32(255.0),
            MISSION: self._mission[np.newaxis].copy(),
            PREVIOUS_ACTION: one_hot(np.array([self._previous])),
        }

    def acted(self, action: int) -> None:
        """Tell which action was taken; it is an input of the next step."""
        if not 0 <= action < ACTIONS:
            raise ObservationError(f"Action {action} does not exist; it must be 0 to {ACTIONS - 1}.")
        self._previous = action


def one_hot(actions: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """One row of 7 per action; `NO_ACTION` gives zeros."""
    rows: npt.NDArray[np.float32] = (actions[:, np.newaxis] == np.arange(ACTIONS)).astype(np.float32)
    return rows


def stack_indices(episode_starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which frames each frame's stack holds: (frames, 4), oldest first, never from another episode.

    Args:
        episode_starts: per frame, the number of the first frame of its episode.
    """
    frames = np.arange(len(episode_starts))
    offsets = np.arange(FRAMES - 1, -1, -1)
    indices: npt.NDArray[np.int64] = np.maximum(frames[:, np.newaxis] - offsets, episode_starts[:, np.newaxis])
    return indices


def previous_actions(actions: npt.NDArray[np.int64], episode_starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The action before each frame; `NO_ACTION` at the first frame of each episode."""
    before = np.concatenate([[NO_ACTION], actions[:-1]]) if len(actions) else actions
    previous: npt.NDArray[np.int64] = np.where(np.arange(len(actions)) == episode_starts, NO_ACTION, before)
    return previous
