"""Policies as LeRobot saved them, of random weights that are drawn again here, and what they did.

`lerobot_folders/<case>/` holds the files of each but its weights (45 MB for a ResNet-18). All draws are of
`RandomState`, whose numbers numpy keeps. Not here: LeRobot itself (`lerobot_reference.py`).
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "CASES",
    "EPISODE",
    "SAVED",
    "Case",
    "drawn_noise",
    "drawn_observation",
    "drawn_statistics",
    "drawn_weights",
    "said",
    "write_saved",
]

SAVED = Path(__file__).parent / "lerobot_folders"
EPISODE = 6  # steps

STATE, ENVIRONMENT = "observation.state", "observation.environment_state"
TOP, WRIST = "observation.images.top", "observation.images.wrist"
_MEAN_STD = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ENV": "MEAN_STD", "ACTION": "MEAN_STD"}
_MIN_MAX = {"VISUAL": "MEAN_STD", "STATE": "MIN_MAX", "ENV": "MIN_MAX", "ACTION": "MIN_MAX"}


@dataclass(frozen=True)
class Case:
    """A policy: LeRobot's type and options, the type and shape of what it observes, values of an action."""

    name: str
    kind: str
    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    actions: int
    modes: Mapping[str, str]
    options: Mapping[str, Any]
    draws: int = 0  # noises of a call: the first one, and what a step of DDPM adds behind all but the last
    before: bool = False  # LeRobot 0.4: statistics are among the weights


_ACT = {"dim_model": 32, "n_heads": 4, "dim_feedforward": 48, "chunk_size": 8, "latent_dim": 8}
_DIFFUSION = {"n_obs_steps": 2, "horizon": 8, "n_action_steps": 3, "diffusion_step_embed_dim": 16, "n_groups": 4}

CASES = (
    Case(
        "act_images",
        "act",
        {WRIST: ("VISUAL", (3, 64, 96)), TOP: ("VISUAL", (3, 48, 64)), STATE: ("STATE", (5,))},
        5,
        _MEAN_STD,
        {**_ACT, "n_action_steps": 3, "n_encoder_layers": 2, "n_decoder_layers": 1, "n_vae_encoder_layers": 1},
    ),
    Case(
        "act_ensemble",
        "act",
        {STATE: ("STATE", (4,)), ENVIRONMENT: ("ENV", (6,))},
        3,
        _MIN_MAX,
        {
            **_ACT,
            "n_action_steps": 1,
            "temporal_ensemble_coeff": 0.2,
            "pre_norm": True,
            "feedforward_activation": "gelu",
            "n_encoder_layers": 1,
            "n_decoder_layers": 2,
            "use_vae": False,
        },
    ),
    Case(
        "diffusion_image",
        "diffusion",
        {STATE: ("STATE", (2,)), TOP: ("VISUAL", (3, 72, 80))},
        2,
        _MIN_MAX,
        {
            **_DIFFUSION,
            "down_dims": (16, 32),
            "resize_shape": (60, 72),
            "crop_ratio": 0.9,
            "spatial_softmax_num_keypoints": 4,
            "noise_scheduler_type": "DDIM",
            "num_train_timesteps": 20,
            "num_inference_steps": 4,
        },
        draws=1,
    ),
    Case(
        "diffusion_cameras",
        "diffusion",
        {STATE: ("STATE", (2,)), TOP: ("VISUAL", (3, 41, 64)), WRIST: ("VISUAL", (3, 41, 64))},
        3,
        _MEAN_STD,
        {
            **_DIFFUSION,
            "down_dims": (16, 32),
            "crop_shape": (36, 61),
            "use_group_norm": False,
            "use_separate_rgb_encoder_per_camera": True,
            "spatial_softmax_num_keypoints": 4,
            "noise_scheduler_type": "DDIM",
            "num_train_timesteps": 10,
            "num_inference_steps": 2,
            "beta_schedule": "scaled_linear",
            "beta_end": 0.3,
            "prediction_type": "sample",
            "clip_sample": False,
        },
        draws=1,
    ),
    Case(
        "diffusion_state",
        "diffusion",
        {STATE: ("STATE", (2,)), ENVIRONMENT: ("ENV", (16,))},
        2,
        _MIN_MAX,
        {
            **_DIFFUSION,
            "down_dims": (16, 16, 32),
            "kernel_size": 3,
            "use_film_scale_modulation": False,
            "noise_scheduler_type": "DDPM",
            "num_train_timesteps": 9,
            "num_inference_steps": 4,
            "clip_sample_range": 0.8,
        },
        draws=4,
    ),
    Case(
        "act_before_0_4",
        "act",
        {STATE: ("STATE", (4,)), ENVIRONMENT: ("ENV", (6,))},
        3,
        {**_MEAN_STD, "ACTION": "MIN_MAX"},
        {**_ACT, "n_action_steps": 4, "n_encoder_layers": 1, "n_decoder_layers": 1, "n_vae_encoder_layers": 1},
        before=True,
    ),
)


def _random(*what: object) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(repr(what).encode()))


def drawn_weights(case: Case, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Weights of each name and shape, as large as those of a network that has learned something, and statistics."""
    import torch

    found = {name: _weight(name, tuple(shape)) for name, shape in shapes.items()}
    for key, statistics in drawn_statistics(case).items():
        buffer = f".buffer_{key.replace('.', '_')}."
        found |= {n: statistics[n.rpartition(".")[2]] for n in found if buffer in n}
    return {name: torch.from_numpy(np.array(value)) for name, value in found.items()}


def _weight(name: str, shape: tuple[int, ...]) -> Any:
    if name.endswith("num_batches_tracked"):
        return np.array(1, np.int64)
    drawn = np.asarray(_random("weight", name).standard_normal(shape), np.float32)
    if name.endswith("running_var"):
        return np.exp(0.3 * drawn)
    if len(shape) > 1 and "embed" not in name and "pos_" not in name:
        gain = 0.1 if "img_feat" in name else 1.2  # features of a ResNet that is drawn are large
        return drawn * np.float32(gain / np.sqrt(np.prod(shape[1:])))
    is_gain = name.endswith("weight") and len(shape) == 1
    return 1 + 0.2 * drawn if is_gain else drawn * np.float32(0.2 if len(shape) == 1 else 1)


def drawn_statistics(case: Case) -> dict[str, dict[str, Any]]:
    """Statistics of every feature; the first action is the same everywhere."""
    found = {}
    sizes = {key: shape for key, (_, shape) in case.inputs.items()} | {"action": (case.actions,)}
    for key, shape in sizes.items():
        spread = (shape[0], 1, 1) if len(shape) == 3 else shape
        low, width, middle, deviation = _random("statistics", key).rand(4, *spread).astype(np.float32)
        found[key] = {"mean": middle, "std": deviation + 0.1, "min": low - 1, "max": low + width}
    action = found["action"]
    action["std"][0], action["max"][0] = 0, action["min"][0]
    return found


def drawn_observation(case: Case, step: int) -> dict[str, Any]:
    """What is observed at a step of the episode."""
    found: dict[str, Any] = {}
    for key, (_, shape) in case.inputs.items():
        random = _random("observation", key, step)
        if len(shape) == 1:
            found[key] = random.standard_normal(shape).astype(np.float32)
            continue
        coarse = random.randint(0, 256, (1 + shape[1] // 8, 1 + shape[2] // 8, 3)).astype(np.uint8)
        found[key] = np.ascontiguousarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: shape[1], : shape[2]])
    return found


def drawn_noise(case: Case, step: int) -> Any:
    """All noises of a call at a step, (1, draws, horizon, actions)."""
    shape = (1, case.draws, case.options["horizon"], case.actions)
    return _random("noise", step).standard_normal(shape).astype(np.float32)


def write_saved(case: Case, folder: Path) -> Path:
    """The folder of a policy as LeRobot saved it."""
    from safetensors.torch import save_file

    shutil.copytree(SAVED / case.name, folder)
    shapes = json.loads((folder / "weights.json").read_text())
    save_file(drawn_weights(case, shapes), folder / "model.safetensors")
    return folder


def said(case: Case) -> Any:
    """The actions of the episode, (steps, actions), as LeRobot said them."""
    return np.load(SAVED / case.name / "said.npz")["actions"]
