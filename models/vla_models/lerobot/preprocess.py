"""From what is observed to the inputs of a policy that LeRobot trained, and from its chunk to actions.

Everything is normalized here, with the statistics that came with the policy: the graph takes and gives normalized
numbers. Not here: what one policy takes of its chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.chunks.ensemble import Ensemble
from vla_models.chunks.names import ACTIONS
from vla_models.errors import ObservationError
from vla_models.lerobot.features import Feature
from vla_models.observed import are_finite, array_of

__all__ = ["LerobotPreprocessor"]

Floats = npt.NDArray[np.float32]


class LerobotPreprocessor:
    """Draws an episode's noise, and keeps the chunks of an ensemble.

    Args:
        observed: the network's inputs of what is seen.
        action: what is done.
        horizon: steps of a chunk, from the first that is seen on.
        execute: how many of them are done, from now on, before the network is asked again.
        history: steps that the network sees, oldest first; more than one: observations have them on a leading axis.
        noise: shapes of the network's other inputs, which are drawn.
        ensemble: the network is asked each step, and one action is done: the mean of what the last chunks say of now,
            see `Ensemble`; None: it is not.
    """

    output_names = (ACTIONS,)

    def __init__(
        self,
        observed: Mapping[str, Feature],
        action: Feature,
        horizon: int,
        execute: int,
        *,
        history: int = 1,
        noise: Mapping[str, tuple[int, ...]] | None = None,
        ensemble: float | None = None,
    ) -> None:
        self.history, self._observed, self._noise = history, dict(observed), dict(noise or {})
        self.input_names = (*self._observed, *self._noise)
        self._action, self._shape = action, (1, horizon, *action.shape)
        self._done = slice(history - 1, history - 1 + execute)
        self._ensemble = None if ensemble is None else Ensemble(horizon, ensemble)
        self._random = np.random.default_rng(0)

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the last episode's chunks; the noise of this one comes from the seed. No task is read."""
        self._forget_chunks()
        self._random = np.random.default_rng(seed)

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Floats]:
        """Float32 inputs: vectors (1, history * n), images (1, history * 3, H, W), and the noise.

        Args:
            observation: by each feature's key a vector (n,) of finite numbers, or an image uint8 (H, W, 3) in RGB; with
                a history of more than one step that many of them, oldest first, on a leading axis.

        Raises:
            ObservationError: something is missing, or of another shape or type.
        """
        found = {name: self._seen(observation, feature) for name, feature in self._observed.items()}
        for name, shape in self._noise.items():
            found[name] = self._random.standard_normal((1, *shape), np.float32)
        return found

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """What is done of the chunk: (execute, n), or with an ensemble (1, n).

        Raises:
            ObservationError: the chunk is not as many finite numbers as it should be.
        """
        chunk = np.asarray(outputs[ACTIONS], np.float32)
        if chunk.shape != self._shape or not np.isfinite(chunk).all():
            raise ObservationError(f"The chunk is {chunk.shape}; it must be {self._shape}, of finite numbers.")
        steps = self._action.restored(chunk[0])
        return steps[self._done] if self._ensemble is None else self._ensemble.action(steps)[None]

    def correct(self, action: npt.NDArray[Any]) -> None:
        """Something else was done than the last action: what older chunks say of the steps behind it is of no use."""
        self._forget_chunks()

    def _forget_chunks(self) -> None:
        if self._ensemble is not None:
            self._ensemble.clear()

    def _seen(self, observation: Mapping[str, Any], feature: Feature) -> Floats:
        if feature.key not in observation:
            raise ObservationError(f"The observation has no '{feature.key}'; it has {', '.join(observation)}.")
        value = array_of(f"'{feature.key}'", observation[feature.key])
        steps = () if self.history == 1 else (self.history,)
        shape = (*steps, *feature.shape[1:], feature.shape[0]) if feature.is_image else (*steps, *feature.shape)
        right = value.dtype == np.uint8 if feature.is_image else value.dtype.kind in "fiu"
        if value.shape != shape or not right or not are_finite(value):
            wanted = "uint8" if feature.is_image else "finite numbers"
            raise ObservationError(f"'{feature.key}' is {value.dtype} {value.shape}; it must be {wanted} {shape}.")
        return feature.normalized(value).reshape(1, -1, *feature.seen[1:])
