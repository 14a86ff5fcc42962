"""What tests of SIM v0 share: small sizes, language models in folders, and runs of random frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.keys import ACTION, is_pad
from vla_datasets.worlds.rover.names import IMAGE, SAID, TELEMETRY, WEIGHT
from vla_models.registry import find_policy

SIDE, FRAMES = 16, 8
SMALL: dict[str, Any] = {
    "width": 16,
    "heads": 2,
    "layers": 2,
    "features": 12,
    "channels": (4, 8),
    "image_size": SIDE,
    "telemetry_mean": (0.1, 0, 9.8, 0.2, 0.2, 0, 1, 0),
    "telemetry_std": (0.5, 0.5, 1, 0.3, 0.3, 0.4, 0.6, 0.4),
}
STATISTICS = {TELEMETRY: {"mean": [0.5] * 8, "std": [0.0, *[2.0] * 7]}}


def made(**options: Any) -> Any:
    """A policy of small sizes."""
    import torch

    torch.manual_seed(0)
    spec = find_policy("sim_v0")
    return spec.make(spec.configured(SMALL | options))


def fitted(**options: Any) -> Any:
    """What a run makes of its options."""
    spec = find_policy("sim_v0")
    return spec.fitted(spec.configured(SMALL | options), STATISTICS)


def write_language_model(folder: Path, seed: int = 0, **sizes: Any) -> Path:
    """A random Llama of three layers as transformers saves it, head and table of words included."""
    import torch
    import transformers

    torch.manual_seed(seed)
    given: dict[str, Any] = {
        "vocab_size": 11,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
    }
    config = transformers.LlamaConfig(**{**given, **sizes})
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def run(length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Frames of a run by key, (length, ...), all random."""
    rng = np.random.default_rng(seed)
    words = [len(words) for words in SAID.values()]
    return {
        IMAGE: rng.integers(0, 256, (length, SIDE, SIDE, 3), np.uint8),
        TELEMETRY: rng.normal([0.1, 0, 9.8, 0.2, 0.2, 0, 1, 0], 0.4, (length, 8)).astype(np.float32),
        WEIGHT: rng.choice([0.5, 1.0], (length, 1)).astype(np.float32),
        ACTION: rng.integers(0, words, (length, 3)),
    }


def windows(frames: dict[str, np.ndarray]) -> dict[str, Any]:
    """As `load_windows` gives them to training, of every frame of one run."""
    import torch

    length = len(frames[ACTION])
    wanted = np.arange(length)[:, None] + np.arange(1 - FRAMES, 1)
    found = {IMAGE: frames[IMAGE][np.maximum(wanted, 0)], is_pad(IMAGE): wanted < 0}
    found |= {key: frames[key][:, None] for key in (TELEMETRY, WEIGHT, ACTION)}
    return {key: torch.from_numpy(value) for key, value in found.items()}


def write_runs(root: Path, runs: list[dict[str, np.ndarray]]) -> None:
    """A prepared set whose last half is held out."""
    from vla_datasets.lerobot.format import BOOKKEEPING, Feature
    from vla_datasets.lerobot.png import encode_png
    from vla_datasets.lerobot.writer import Episode, write_dataset
    from vla_datasets.worlds.rover.schema import SCHEMA

    features = {
        IMAGE: Feature("image", runs[0][IMAGE].shape[1:], ("height", "width", "channels")),
        **{key: SCHEMA.features[key] for key in (TELEMETRY, WEIGHT, ACTION)},
    }
    block = []
    for number, frames in enumerate(runs):
        columns = {key: [v.item() if v.size == 1 else v.tolist() for v in frames[key]] for key in features}
        columns[IMAGE] = [encode_png(picture) for picture in frames[IMAGE]]
        block.append(Episode(number, "say", columns))
    splits = {"train": (0, len(runs) // 2), "val": (len(runs) // 2, len(runs))}
    write_dataset(root, [block], {**features, **BOOKKEEPING}, 4, "rover", splits, {"world": "rover"})
