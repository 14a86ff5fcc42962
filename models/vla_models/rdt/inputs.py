"""The network's inputs for one call, and the actions of its output, with numpy: what every robot's side shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.unified.slots import SIZE
from vla_models.chunks.names import NOISE
from vla_models.errors import ObservationError
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.names import (
    FREQUENCY_INPUT,
    LANGUAGE_INPUT,
    LANGUAGE_MASK,
    MASK_INPUT,
    STATE_INPUT,
    image_input,
)
from vla_models.rdt.vectors import action_values, frequency_row, mask_row, state_vectors

__all__ = ["network_inputs", "said_actions"]

Floats = npt.NDArray[np.float32]


def network_inputs(
    config: RdtConfig,
    state: Floats,
    words: tuple[Floats, Floats],
    pictures: Sequence[Floats],
    random: np.random.Generator,
) -> dict[str, Floats]:
    """Float32 inputs with batch 1, in the network's order.

    Args:
        config: with a tower.
        state: (joints,).
        words: rows (1, tokens, width) of the instruction, and which of them count (1, tokens).
        pictures: (1, 3, height, width) each, in the order of `config.pictures`.
        random: of the noise, which is zero where the robot has no value.
    """
    mask = mask_row(config)
    noise = random.standard_normal((1, config.horizon, SIZE), np.float32) * mask
    return {
        STATE_INPUT: state_vectors(config, state[None]),
        MASK_INPUT: mask,
        FREQUENCY_INPUT: frequency_row(config.frequency),
        LANGUAGE_INPUT: words[0],
        LANGUAGE_MASK: words[1],
        **{image_input(*which): seen for which, seen in zip(config.pictures, pictures, strict=True)},
        NOISE: np.concatenate([noise, np.zeros_like(noise)], axis=1) if config.sampler_loop else noise,
    }


def said_actions(config: RdtConfig, chunk: npt.NDArray[Any]) -> Floats:
    """Actions (horizon, joints) of a chunk (1, horizon, 128), or of the state of a loop (1, 2 * horizon, 128).

    Raises:
        ObservationError: the chunk is not as many finite numbers as it should be.
    """
    found, shape = np.asarray(chunk, np.float32), (1, config.horizon * (1 + config.sampler_loop), SIZE)
    if found.shape != shape or not np.isfinite(found).all():
        raise ObservationError(f"The chunk is {found.shape}; it must be {shape}, of finite numbers.")
    return action_values(config, found[0, : config.horizon])
