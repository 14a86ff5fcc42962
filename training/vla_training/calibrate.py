"""Choose frames of held-out episodes for the compiler's calibration: an .npz, one array per ONNX input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from vla_datasets.lerobot.windows import load_windows
from vla_isa.files import whole_file
from vla_models.policy import GraphSpec, graph_paths
from vla_models.saved import load_policy
from vla_training.checkpoint import pretrained_folder
from vla_training.errors import EvaluationError
from vla_training.validate import to_tensors

__all__ = ["calibration_arrays", "write_arrays", "write_calibration"]


def calibration_arrays(data: Path, policy: Path, frames: int, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Inputs of a policy for up to `frames` frames of the split `val`, drawn without repetition, on axis 0.

    Args:
        data: the data set.
        policy: a run or a saved policy.
        frames: how many.
        seed: of the draw.

    Raises:
        EvaluationError: `frames` is not positive.
        DatasetError: the data set cannot be read.
        CheckpointError, PolicyError: there is no policy.
    """
    if frames < 1:
        raise EvaluationError(f"--frames is {frames}; calibration needs at least 1.")
    import torch

    module = load_policy(pretrained_folder(policy))
    held_out = load_windows(data, "val", module.windows, sides=getattr(module, "image_sides", None))
    chosen = np.random.default_rng(seed).permutation(len(held_out))[:frames]
    batch = module.prepare(to_tensors(held_out.batch(np.sort(chosen)), torch.device("cpu")))
    taken = {name for graph in module.graphs() for name in graph.inputs()}  # a batch may hold more, for the loss
    return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in batch.inputs.items() if name in taken}


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[np.float32]]) -> None:
    """Write an .npz whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_calibration(data: Path, policy: Path, path: Path, frames: int = 256) -> tuple[int, list[Path]]:
    """Write the calibration file of a policy; return the number of frames in it, and the files.

    Of a policy of several graphs `calib.npz` stands for `calib-<graph>.npz` of each. What one graph hands to another is
    left out: the compiler computes it.
    """
    arrays = calibration_arrays(data, policy, frames)
    graphs: Sequence[GraphSpec] = cast(Any, load_policy(pretrained_folder(policy))).graphs()
    handed = {target for g in graphs for target in g.carries.values() if target.partition(".")[0] != g.name}
    paths = graph_paths(path, graphs)
    for graph, target in zip(graphs, paths, strict=True):
        taken = [name for name in graph.inputs() if f"{graph.name}.{name}" not in handed and name in arrays]
        write_arrays(target, {name: arrays[name] for name in taken})
    return len(next(iter(arrays.values()))), paths
