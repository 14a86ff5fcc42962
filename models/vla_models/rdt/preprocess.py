"""The robot's side of RDT: from joints, pictures and an instruction to its inputs, and from its chunk to joints."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import STATE, image
from vla_models.chunks.ensemble import Ensemble
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.errors import ObservationError
from vla_models.observed import read_floats, read_picture
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.inputs import network_inputs, said_actions
from vla_models.rdt.names import (
    FEATURES_INPUT,
    FREQUENCY_INPUT,
    LANGUAGE_INPUT,
    LANGUAGE_MASK,
    MASK_INPUT,
    STATE_INPUT,
    image_input,
)
from vla_models.rdt.pictures import network_picture, no_picture
from vla_models.rdt.sentences import Sentences

__all__ = ["RdtPreprocessor"]

Floats = npt.NDArray[np.float32]


class RdtPreprocessor:
    """Draws an episode's noise; keeps its instruction, the last pictures and, for an ensemble, the last chunks."""

    output_names = (ACTIONS,)

    def __init__(self, config: RdtConfig) -> None:
        self._config = c = config
        self.frequency = c.frequency
        seen = tuple(image_input(*each) for each in c.pictures) if c.channels else (FEATURES_INPUT,)
        self.input_names = (STATE_INPUT, MASK_INPUT, FREQUENCY_INPUT, LANGUAGE_INPUT, LANGUAGE_MASK, *seen, NOISE)
        self._sentences = Sentences(config)
        self._words: tuple[Floats, Floats] | None = None
        self._seen = {camera: deque[Floats](maxlen=c.history) for camera in c.cameras}
        self._ensemble = Ensemble(c.horizon, c.ensemble) if c.ensemble else None
        self._random = np.random.default_rng(0)

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the last episode; the noise of this one comes from the seed.

        Raises:
            LanguageError: there is no embedding of the task.
        """
        self._words = self._sentences(task)
        self._forget_chunks()
        self._random = np.random.default_rng(seed)
        for pictures in self._seen.values():
            pictures.extend([no_picture(self._config)] * self._config.history)

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Floats]:
        """Float32 inputs; in front of an episode's first pictures there is the mean colour.

        Args:
            observation: the joints, and of each camera a picture uint8 (height, width, 3) in RGB.

        Raises:
            ObservationError: something is missing or of another shape, or there was no `reset`.
        """
        c = self._config
        if self._words is None:
            raise ObservationError("rdt: there is no instruction; reset it with one.")
        if not c.channels:
            raise ObservationError("rdt: 'channels' is empty: features of pictures are the input, made elsewhere.")
        state = read_floats(observation, STATE, len(c.state_mean))
        seen = [read_picture(observation, image(camera), c.image_height, c.image_width) for camera in self._seen]
        for kept, picture in zip(
            self._seen.values(), seen, strict=True
        ):  # all are there: none is kept of a refused one
            kept.append(network_picture(c, picture))
        pictures = [self._seen[camera][-1 - age] for camera, age in c.pictures]
        return network_inputs(c, state, self._words, pictures, self._random)

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> Floats:
        """What is done of the chunk: (execute, joints), or with an ensemble (1, joints).

        Raises:
            ObservationError: the chunk is not as many finite numbers as it should be.
        """
        said = said_actions(self._config, outputs[ACTIONS])
        return said[: self._config.execute] if self._ensemble is None else self._ensemble.action(said)[None]

    def correct(self, action: npt.NDArray[Any]) -> None:
        """Something else was done than the last action: what older chunks say of the steps behind it is of no use."""
        self._forget_chunks()

    def _forget_chunks(self) -> None:
        if self._ensemble is not None:
            self._ensemble.clear()
