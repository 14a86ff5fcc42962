"""How well a driver's concept outputs tell what is true: area under the ROC curve on held-out routes.

    python benchmarks/driving_concepts.py --data data/drive --policy examples/driving/dense

The area is the chance that a frame where the concept holds has a larger logit than one where it does not (Hanley and
McNeil, Radiology 143 (1982), 29-36); ties count half. Errors of steering are printed beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_datasets.lerobot.windows import load_windows
from vla_models.driving.names import CONCEPT_KEYS
from vla_models.saved import load_policy
from vla_training.checkpoint import pretrained_folder
from vla_training.validate import to_tensors

_BATCH = 256


def area(truth: np.ndarray, logits: np.ndarray) -> float:
    """Of the ROC curve, of bool (N,) and float (N,); NaN where only one of both values occurs."""
    order = np.argsort(logits, kind="stable")
    _, first, counts = np.unique(logits[order], return_index=True, return_counts=True)
    ranks = np.empty(len(logits))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)  # from 1; equal ones have their mean
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set of the driving world")
    parser.add_argument("--policy", type=Path, required=True, help="run or saved policy")
    arguments = parser.parse_args()
    policy: Any = load_policy(pretrained_folder(arguments.policy))
    frames = load_windows(arguments.data, "val", policy.windows, sides=policy.image_sides)
    truth, logits, steering = [], [], []
    for start in range(0, len(frames), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(frames)))
        batch = policy.prepare(to_tensors(frames.batch(numbers), torch.device("cpu")))
        with torch.no_grad():
            found = policy(*batch.inputs.values())
        truth.append(batch.target[:, -len(CONCEPT_KEYS) :].numpy() > 0.5)
        logits.append(found.concepts.numpy())
        steering.append((found.control[:, 0] - batch.target[:, 0]).abs().numpy())
    true, said = np.concatenate(truth), np.concatenate(logits)
    print(f"{len(frames)} held-out frames; steering off by {np.concatenate(steering).mean():.4f}")
    print("| concept | share of frames | area under the curve |\n|---|---|---|")
    for number, key in enumerate(CONCEPT_KEYS):
        share, value = true[:, number].mean(), area(true[:, number], said[:, number])
        print(f"| {key.removeprefix('concept.').replace('_', ' ')} | {100 * share:.1f} % | {value:.3f} |")


if __name__ == "__main__":
    main()
