"""The robot's side: the newest picture, the rows of those before it, the telemetry; and what is said of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import image
from vla_datasets.worlds.rover.names import TELEMETRY
from vla_models.errors import ObservationError
from vla_models.observed import read_floats, read_picture
from vla_models.sim_v0.config import SimV0Config
from vla_models.sim_v0.names import (
    HISTORY_INPUT,
    IMAGE_INPUT,
    OUTPUTS,
    ROW,
    TELEMETRY_INPUT,
    TELEMETRY_VALUES,
)
from vla_models.sim_v0.said import chances, predict_json, said

__all__ = ["SimV0Preprocessor", "network_pictures", "telemetry_rows"]

Floats = npt.NDArray[np.float32]


def network_pictures(pixels: npt.NDArray[np.uint8]) -> Floats:
    """RGB bytes (..., S, S, 3) as (..., 3, S, S) in [-1, 1]."""
    found: Floats = np.ascontiguousarray(np.moveaxis(pixels, -1, -3), np.float32) / np.float32(127.5) - np.float32(1)
    return found


def telemetry_rows(config: SimV0Config, telemetry: Floats) -> Floats:
    """Telemetry (N, 8) as the network takes it."""
    mean, std = (np.asarray(v, np.float32) for v in (config.telemetry_mean, config.telemetry_std))
    rows: Floats = (telemetry - mean) / std
    return rows


class SimV0Preprocessor:
    """Keeps the row of each picture: none is looked at twice.

    Attributes:
        words: what was said last, as `predict_json` says it.
    """

    input_names = (IMAGE_INPUT, HISTORY_INPUT, TELEMETRY_INPUT)
    output_names = OUTPUTS

    def __init__(self, config: SimV0Config) -> None:
        self._config = config
        self._rows: deque[Floats] = deque(maxlen=config.frames - 1)
        self.words: dict[str, Any] = {}

    def reset(self, task: str, seed: int = 0) -> None:
        """Forget the run before; nothing is random."""
        self._rows.clear()
        self.words = {}

    def inputs(self, observation: Mapping[str, Any]) -> dict[str, Floats]:
        """Float32 inputs with batch 1.

        Args:
            observation: the camera's picture, uint8 (S, S, 3) in RGB; the telemetry (8,).

        Raises:
            ObservationError: something is missing or of another form.
        """
        c = self._config
        picture = read_picture(observation, image(c.camera), c.image_size, c.image_size)
        telemetry = read_floats(observation, TELEMETRY, TELEMETRY_VALUES)
        history = np.zeros((1, c.frames - 1, c.width), np.float32)
        if self._rows:
            history[0, -len(self._rows) :] = np.stack(self._rows)
        return {
            IMAGE_INPUT: network_pictures(picture)[None],
            HISTORY_INPUT: history,
            TELEMETRY_INPUT: telemetry_rows(c, telemetry[None]),
        }

    def actions(self, outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        """Indices of risk, reason and action, (1, 3).

        Raises:
            ObservationError: an output is of another form, or not finite.
        """
        row = np.asarray(outputs[ROW], np.float32)
        if row.shape != (1, self._config.width) or not np.isfinite(row).all():
            raise ObservationError(f"'{ROW}' is {row.shape}; it must be (1, {self._config.width}), of finite numbers.")
        (self.words,) = predict_json(self._config, outputs)
        self._rows.append(row[0])
        return said(self._config, chances(outputs))
