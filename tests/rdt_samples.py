"""What tests of RDT share: small sizes, a folder of embedded sentences, and frames of two arms and a camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.keys import ACTION, STATE, image
from vla_models.language.embeddings import write_embeddings
from vla_models.registry import find_policy

TASK = "pass the cube"
ENCODER = "random@0"
WIDTH = 24  # of a token of language
SIDE = 16
CAMERA = image("top")
SMALL: dict[str, Any] = {
    "width": 32,
    "depth": 2,
    "heads": 4,
    "horizon": 6,
    "execute": 3,
    "channels": (8, 12),
    "image_height": SIDE,
    "image_width": SIDE,
    "language_tokens": 7,
    "language_width": WIDTH,
}
# as listed for the robot: left arm, left gripper, right arm, right gripper
PLACES = (50, 51, 52, 53, 54, 55, 60, 0, 1, 2, 3, 4, 5, 10)


def write_sentences(folder: Path, encoder: str = ENCODER, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    lengths = {"": 2, TASK: 5, "open the box": 4}
    write_embeddings(folder, encoder, {t: rng.standard_normal((n, WIDTH), np.float32) for t, n in lengths.items()})
    return folder


def episode(steps: int, seed: int = 0) -> dict[str, np.ndarray]:
    """An episode by key: (steps, ...). Joints follow where a light square is in the picture."""
    rng = np.random.default_rng(seed)
    column = rng.integers(0, SIDE - 4)
    pixels = rng.integers(0, 40, (steps, SIDE, SIDE, 3)).astype(np.uint8)
    pixels[:, 6:10, column : column + 4] = 230
    ways = np.linspace(0, 1, steps)[:, None] * rng.uniform(0.5, 1, 14) * (column / SIDE - 0.4)
    state = (ways + 0.01 * rng.standard_normal((steps, 14))).astype(np.float32)
    return {STATE: state, CAMERA: pixels, ACTION: (ways + 0.05).astype(np.float32)}


def statistics(frames: dict[str, np.ndarray]) -> dict[str, Any]:
    """As a data set's stats.json has them."""
    return {key: {"mean": frames[key].mean(0).tolist(), "std": frames[key].std(0).tolist()} for key in (STATE, ACTION)}


def made(**options: Any) -> Any:
    """A policy none of whose layers begins with zeros."""
    import torch

    torch.manual_seed(0)
    spec = find_policy("rdt")
    policy = spec.make(spec.configured(SMALL | options)).eval()
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * torch.randn_like(weight)
    return policy
