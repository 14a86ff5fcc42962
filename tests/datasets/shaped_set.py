"""A data set with features of every shape: image, number, vector, matrix; and the arrays it was made from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.writer import Episode, write_dataset

IMAGE = "observation.images.front"
FEATURES = {
    IMAGE: Feature("image", (8, 6, 3), ("height", "width", "channels")),
    "action": Feature("int64", (1,)),
    "observation.state": Feature("float32", (3,), ("x", "y", "z")),
    "observation.tactile": Feature("float32", (2, 4)),
    "next.done": Feature("bool", (1,)),
    **BOOKKEEPING,
}
LENGTHS = (3, 5, 2)
FPS = 10


def write_shaped_set(root: Path) -> dict[str, np.ndarray]:
    """Write three episodes in two files; returns every declared feature as one array of (frames, *shape)."""
    rng = np.random.default_rng(0)
    frames = sum(LENGTHS)
    arrays: dict[str, np.ndarray] = {
        IMAGE: rng.integers(0, 256, (frames, 8, 6, 3), np.uint8),
        "action": rng.integers(-5, 5, (frames, 1)),
        "observation.state": (rng.standard_normal((frames, 3)) * [1, 10, 200]).astype(np.float32),
        "observation.tactile": rng.standard_normal((frames, 2, 4)).astype(np.float32),
        "next.done": rng.random((frames, 1)) < 0.5,
    }
    ends = np.cumsum((0, *LENGTHS))
    episodes = [_episode(n, {k: a[ends[n] : ends[n + 1]] for k, a in arrays.items()}) for n in range(len(LENGTHS))]
    blocks = [episodes[:2], episodes[2:]]
    write_dataset(root, blocks, FEATURES, FPS, "test", {"train": (0, 2), "val": (2, 3)}, {})
    return arrays


def _episode(number: int, arrays: dict[str, np.ndarray]) -> Episode:
    columns: dict[str, list[Any]] = {name: list(array) for name, array in arrays.items() if name != IMAGE}
    columns["action"] = arrays["action"][:, 0].tolist()  # a plain number is as good as an array of one
    return Episode(number, f"task {number % 2}", {IMAGE: [_png(a) for a in arrays[IMAGE]], **columns})


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
