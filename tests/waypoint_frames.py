"""What tests of waypoints share: small sizes, towers in folders, and a prepared set of Waymo's form with its arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vla_datasets.keys import ACTION, STATE, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.waymo.names import FUTURE, INTENT, PAST, RATED, SCORES
from vla_models.registry import find_policy

SIDE, PATCH = 16, 8
FRONT, REAR = image("front"), image("rear")
TOWER: dict[str, Any] = {
    "tower_width": 12,
    "tower_layers": 2,
    "tower_heads": 2,
    "tower_hidden": 20,
    "image_size": SIDE,
    "patch": PATCH,
}
SMALL: dict[str, Any] = {**TOWER, "hidden": (24, 16)}
_NAMES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size")


def made(name: str = "vlm_waypoint", **options: Any) -> Any:
    """A policy of small sizes, in evaluation mode; every weight of the tower counts."""
    import torch

    torch.manual_seed(0)
    spec = find_policy(name)
    small = SMALL if name == "vlm_waypoint" else {**TOWER, "decoder_width": 12}
    policy = spec.make(spec.configured(small | options)).eval()
    with torch.no_grad():
        for weight in policy.tower.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return policy


def write_tower(folder: Path, seed: int = 0, prefix: str = "", **config: Any) -> Path:
    """A tower as transformers saves it, with random weights."""
    import torch
    from safetensors.torch import save_file

    from vla_models.siglip.sizes import TowerSizes
    from vla_models.siglip.vision import SiglipVision

    torch.manual_seed(seed)
    tower = SiglipVision(TowerSizes(**TOWER))
    weights = {f"{prefix}{n}": 0.3 * torch.randn_like(w).contiguous() for n, w in tower.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    sizes = dict(zip(_NAMES, TOWER.values(), strict=True))
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip_vision_model", **sizes, **config}))
    return folder


def frames(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Frames by key, (count, ...): a car at its speed, its past straight behind it; pictures of two cameras."""
    rng = np.random.default_rng(seed)
    times = np.arange(1 - PAST, 1) / 4
    velocity = rng.uniform([1, -0.5], [5, 0.5], (count, 2))
    past = np.zeros((count, PAST, 6))
    past[..., :2], past[..., 2:4] = velocity[:, None] * times[:, None], velocity[:, None]
    future = velocity[:, None] * (np.arange(1, FUTURE + 1) / 4)[:, None] + rng.normal(0, 0.5, (count, FUTURE, 2))
    return {
        FRONT: rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8),
        REAR: rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8),
        STATE: past.astype(np.float32),
        INTENT: rng.integers(0, 4, (count, 1)),
        ACTION: future.astype(np.float32),
        RATED: np.repeat(future[:, None], 3, axis=1).astype(np.float32),
        SCORES: np.tile(np.float32([9, 5, 2]), (count, 1)),
    }


def write_frames(root: Path, episodes: int = 4, length: int = 5) -> dict[str, np.ndarray]:
    """A prepared set whose last episode is held out; returns its frames."""
    found = frames(episodes * length)
    features = {
        name: Feature("image", value.shape[1:], ("height", "width", "channels"))
        if value.dtype == np.uint8
        else Feature(str(value.dtype), value.shape[1:])
        for name, value in found.items()
    }
    block = []
    for number in range(episodes):
        at = slice(number * length, (number + 1) * length)
        columns = {k: [_png(p) for p in v[at]] if v.dtype == np.uint8 else list(v[at]) for k, v in found.items()}
        block.append(Episode(number, "drive", columns))
    splits = {"train": (0, episodes - 1), "val": (episodes - 1, episodes)}
    write_dataset(root, [block], {**features, **BOOKKEEPING}, 10, "waymo", splits, {"world": "waymo"})
    return found


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
