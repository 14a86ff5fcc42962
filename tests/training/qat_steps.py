"""Training samples of every registered policy, and one step of quantization-aware training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_datasets.keys import ACTION, STATE, TASK, is_pad, tile_table
from vla_models.draws import Draws
from vla_models.driving.names import COMMAND_KEY, CONCEPT_KEYS
from vla_models.quantized.convert import quantize_policy
from vla_models.registry import find_policy
from vla_models.saved import save_policy
from vla_training import calibrate
from vla_training.objectives.behaviour_cloning import BehaviourCloning
from vla_training.objectives.driving import DrivingImitation
from vla_training.validate import to_tensors

__all__ = [
    "Frames",
    "calibrate",
    "made",
    "quantize_policy",
    "samples_of",
    "saved",
    "step",
    "tile_table",
    "torch",
]

DRIVING = {"channels": (16, 32), "strides": (2, 2), "image_size": 16, "measure_features": 8}
SIZES: dict[str, dict[str, Any]] = {
    "babyai_cnn": {"channels": (8, 16, 16), "hidden": 24},
    "babyai_film": {"hidden": 24},
    "babyai_moe": {"hidden": 24, "kept": 8, "experts": 2},
    "driving_vgg": {**DRIVING, "hidden": (16,)},
    "driving_tiles": {**DRIVING, "fused": 16, "branch": (16,)},
    "mlp_policy": {"width": 16, "blocks": 1},
    "pi_zero": {"depth": 1},
    "flow_autoregressive": {"depth": 1, "horizon": 2, "execute": 2},
    "pi_zero_pixels": {"depth": 1, "tower_layers": 1},
    "act": {"width": 16, "heads": 2},
    "rdt": {"width": 16, "heads": 2, "depth": 2, "horizon": 4, "execute": 4, "channels": (4, 4, 4, 4)},
    "sim_v0": {"width": 16, "heads": 2, "layers": 1, "features": 16, "channels": (4, 4), "image_size": 16},
    "siglip_tower": {"tower_width": 12, "tower_layers": 1, "tower_hidden": 12, "image_size": 16, "patch": 8},
    "vlm_waypoint": {"tower_width": 12, "tower_layers": 1, "tower_hidden": 12, "image_size": 16, "patch": 8},
}
N = 16


def made(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    spec = find_policy(name)
    return spec.make(spec.configured({**SIZES[name], **options}))


def samples_of(policy: Any, count: int = N) -> dict[str, Any]:
    """Windows as `load_windows` gives them, of random frames."""
    rng = np.random.default_rng(0)
    (camera,) = (key for key in policy.windows if "image" in key)
    side = getattr(policy, "image_sides", {}).get(camera, 56)
    pixels = rng.integers(0, 256, (count, len(policy.windows[camera]), side, side, 3), np.uint8)
    found: dict[str, Any] = {camera: pixels, TASK: ["go to the red ball"] * count}
    found[is_pad(ACTION)] = np.zeros((count, 2), bool)
    if COMMAND_KEY in policy.windows:
        found[ACTION] = rng.random((count, 2, 3), np.float32)
        found[COMMAND_KEY] = rng.integers(0, 9, (count, 1, 1))
        found |= {key: rng.integers(0, 2, (count, 1, 1)) for key in (STATE, *CONCEPT_KEYS)}
    else:
        found[ACTION] = rng.integers(0, 7, (count, 2, 1))
    return found


class Frames:
    """Stands for the windows of a data set."""

    def __init__(self, samples: Mapping[str, Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return N

    def batch(self, numbers: Any) -> Mapping[str, Any]:
        return self.samples


def saved(policy: Any, name: str, folder: Path) -> Path:
    save_policy(folder, name, policy.config, policy.state_dict())
    return folder


def step(policy: Any, name: str, samples: Mapping[str, Any]) -> float:
    """The largest change of a weight by one step."""
    objective = DrivingImitation() if name.startswith("driving") else BehaviourCloning()
    before = [weight.detach().clone() for weight in policy.parameters()]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
    batch = policy.prepare(to_tensors(samples, torch.device("cpu")))
    loss, watched = objective.loss(policy.train(), batch, Draws(torch.Generator().manual_seed(0)))
    assert watched and bool(torch.isfinite(loss))
    loss.backward()
    optimizer.step()
    return max(float((new.detach() - old).abs().max()) for new, old in zip(policy.parameters(), before, strict=True))
