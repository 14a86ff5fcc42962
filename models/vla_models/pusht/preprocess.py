"""From what Push-T shows to the inputs of a policy, and from its chunk to places in the plane.

Not here: the batches of training (`batches.py`; a test holds that both make the same inputs), the sizes of one policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS, SIDE
from vla_models.chunks.ensemble import Ensemble
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.errors import ObservationError
from vla_models.observed import read_floats
from vla_models.pusht.names import ACTION_UNIT
from vla_models.pusht.observation import Places

__all__ = ["ChunkPreprocessor", "KeypointPreprocessor"]

Floats = npt.NDArray[np.float32]


class ChunkPreprocessor:
    """Draws an episode's noise, and keeps where the pusher was when the network was asked; for an ensemble the chunks.

    Args:
        observed: the network's inputs of what is seen.
        see: what makes them, with a batch of 1, of an observation and the pusher (2,) in it.
        horizon: steps of a chunk.
        execute: how many steps of it are done before the network is asked again.
        noise: whether the network begins with noise.
        ensemble: above 0, the network is asked each step, whatever `execute` is, and one action is done: the mean of
            what the last chunks say of now, see `Ensemble`.
    """

    output_names = (ACTIONS,)

    def __init__(
        self,
        observed: Sequence[str],
        see: Callable[[Mapping[str, Any], Floats], dict[str, Floats]],
        horizon: int,
        execute: int,
        noise: bool,
        ensemble: float,
    ) -> None:
        self.input_names = (*observed, NOISE) if noise else tuple(observed)
        self._see, self._shape, self._execute = see, (1, horizon, 2), execute
        self._ensemble = Ensemble(horizon, ensemble) if ensemble else None
        self._pusher = np.zeros(2, np.float32)
        self._random = np.random.default_rng(0)

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the last episode's chunks; the noise of this one comes from the seed."""
        self._forget_chunks()
        self._random = np.random.default_rng(seed)

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Floats]:
        """Float32 inputs of what is seen, and noise (1, horizon, 2).

        Args:
            observation: the pusher (2,) in px, and what the policy sees.

        Raises:
            ObservationError: something is missing, or not of its shape and type.
        """
        self._pusher = read_floats(observation, STATE, 2)
        found = self._see(observation, self._pusher)
        if NOISE in self.input_names:
            found[NOISE] = self._random.standard_normal(self._shape, np.float32)
        return found

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """What is done of the chunk: (execute, 2), or with an ensemble (1, 2), px within the plane.

        Raises:
            ObservationError: the chunk is not as many finite numbers as it should be.
        """
        chunk = np.asarray(outputs[ACTIONS], np.float32)
        if chunk.shape != self._shape or not np.isfinite(chunk).all():
            raise ObservationError(f"The chunk is {chunk.shape}; it must be {self._shape}, of finite numbers.")
        places: Floats = chunk[0] * np.float32(ACTION_UNIT) + self._pusher
        done = places[: self._execute] if self._ensemble is None else self._ensemble.action(places)[None]
        return done.clip(0, SIDE).astype(np.float32)

    def correct(self, action: npt.NDArray[Any]) -> None:
        """Something else was done than the last action: what older chunks say of the steps behind it is of no use."""
        self._forget_chunks()

    def _forget_chunks(self) -> None:
        if self._ensemble is not None:
            self._ensemble.clear()


class KeypointPreprocessor(ChunkPreprocessor):
    """Of a policy that sees the keypoints (16,) and the goal's (16,), in px.

    Args:
        observed: the network's inputs of what is seen, each made of the places with a batch of 1.
        horizon, execute, noise, ensemble: see `ChunkPreprocessor`.
    """

    def __init__(
        self,
        observed: Mapping[str, Callable[[Places], Floats]],
        horizon: int,
        execute: int,
        noise: bool,
        ensemble: float,
    ) -> None:
        def see(observation: Mapping[str, Any], pusher: Floats) -> dict[str, Floats]:
            keypoints, goal = (read_floats(observation, key, 16) for key in (KEYPOINTS, GOAL))
            places = Places(pusher[None], keypoints[None], goal[None])
            return {name: make(places) for name, make in observed.items()}

        super().__init__(tuple(observed), see, horizon, execute, noise, ensemble)
