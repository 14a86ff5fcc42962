"""Training batches of RDT: the same inputs that the robot's side makes, and what the objective does to them.

Not here: the loss (`vla_training.objectives.rdt`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vla_datasets.keys import ACTION, STATE, TASK, image, is_pad
from vla_models.chunks.names import NOISE
from vla_models.errors import PolicyError
from vla_models.policy import Batch
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.names import (
    FREQUENCY_INPUT,
    LANGUAGE_INPUT,
    LANGUAGE_MASK,
    MASK_INPUT,
    STATE_INPUT,
    image_input,
)
from vla_models.rdt.pictures import network_pictures, no_picture
from vla_models.rdt.sentences import Sentences
from vla_models.rdt.vectors import action_vectors, frequency_row, mask_row, state_spread, state_vectors

__all__ = ["RdtBatch", "absent_conditions", "rdt_batch", "rdt_windows", "starting"]


@dataclass(frozen=True)
class RdtBatch(Batch):
    """A batch whose conditions can be left out.

    Attributes:
        absent: per condition, what stands for each of its inputs, (1, ...).
        state_spread: (1, 128), the deviation of the data's states.
    """

    absent: Sequence[Mapping[str, torch.Tensor]] = ()
    state_spread: torch.Tensor = field(default_factory=lambda: torch.zeros(1, 1))


def rdt_windows(config: RdtConfig) -> dict[str, Sequence[int]]:
    """The steps around a frame that are trained on: pictures up to now, the state, and the chunk from now on."""
    seen = {image(camera): tuple(range(1 - config.history, 1)) for camera in config.cameras}
    return {STATE: (0,), **seen, ACTION: tuple(range(config.horizon))}


def rdt_batch(config: RdtConfig, sentences: Sentences, samples: Mapping[str, Any]) -> RdtBatch:
    """Inputs of the network, noise where the robot has values (from torch's own generator), and the expert's chunk (N,
    horizon, 128).

    Behind an episode's end the chunk holds its last action. Pictures before its begin are the mean colour.

    Raises:
        PolicyError: the pictures are of another size, or the policy takes features of them.
        LanguageError: a sentence was not embedded.
    """
    if not config.channels:
        raise PolicyError("rdt: 'channels' is empty, so that the input is features of pictures; it is not trained so.")
    device, count = samples[ACTION].device, len(samples[TASK])
    rows = [sentences(task) for task in samples[TASK]]
    inputs = {
        STATE_INPUT: state_vectors(config, samples[STATE][:, 0].cpu().numpy()),
        MASK_INPUT: np.repeat(mask_row(config), count, axis=0),
        FREQUENCY_INPUT: np.repeat(frequency_row(config.frequency), count, axis=0),
        LANGUAGE_INPUT: np.concatenate([row for row, _ in rows]),
        LANGUAGE_MASK: np.concatenate([mask for _, mask in rows]),
        **{image_input(camera, age): _seen(config, samples, camera, age) for camera, age in config.pictures},
    }
    chunk = torch.from_numpy(action_vectors(config, samples[ACTION].cpu().numpy())).to(device)
    tensors = {name: torch.from_numpy(values).to(device) for name, values in inputs.items()}
    absent = [{n: v.to(device) for n, v in group.items()} for group in absent_conditions(config, sentences)]
    spread = torch.from_numpy(state_spread(config)).to(device)
    noise = torch.randn_like(chunk) * tensors[MASK_INPUT][:, None]
    return RdtBatch({**tensors, NOISE: starting(config, noise)}, chunk, absent=absent, state_spread=spread)


def starting(config: RdtConfig, noise: torch.Tensor) -> torch.Tensor:
    """What the sampler begins with: noise (N, horizon, 128), in a loop with as many zeros behind it."""
    return torch.cat([noise, torch.zeros_like(noise)], dim=1) if config.sampler_loop else noise


def _seen(config: RdtConfig, samples: Mapping[str, Any], camera: str, age: int) -> Any:
    """One picture of each sample, so many steps old."""
    key, step = image(camera), config.history - 1 - age
    pixels = samples[key][:, step].cpu().numpy()
    height, width = config.image_height, config.image_width
    if pixels.shape[1:] != (height, width, 3):
        raise PolicyError(
            f"rdt: '{key}' has pictures of {pixels.shape[1:]}; the policy takes ({height}, {width}, 3). Give "
            "'image_height' and 'image_width'."
        )
    found = network_pictures(pixels)
    found[samples[is_pad(key)][:, step].cpu().numpy()] = no_picture(config)
    return found


def absent_conditions(config: RdtConfig, sentences: Sentences) -> list[dict[str, torch.Tensor]]:
    """Per condition what stands for its inputs, (1, ...): the empty sentence, the mean colour or state, zeros."""
    words, mask = sentences("")
    found = [
        {LANGUAGE_INPUT: words, LANGUAGE_MASK: mask},
        *({image_input(*each): no_picture(config)} for each in config.pictures),
        {STATE_INPUT: state_vectors(config, [config.state_mean])},
        {MASK_INPUT: np.zeros_like(mask_row(config))},
        {FREQUENCY_INPUT: frequency_row(0.0)},
    ]
    return [{name: torch.from_numpy(value) for name, value in group.items()} for group in found]
