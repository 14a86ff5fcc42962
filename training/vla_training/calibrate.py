"""Choose frames of held-out episodes for the compiler's calibration: an .npz, one array per ONNX input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_isa.files import whole_file
from vla_models.keys import IMAGE, MISSION, PREVIOUS_ACTION
from vla_training.errors import EvaluationError
from vla_training.frames import load_frames

__all__ = ["calibration_arrays", "write_arrays", "write_calibration"]


def calibration_arrays(data: Path, frames: int, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Up to `frames` frames of the split `val`, drawn without repetition; axis 0 counts them.

    Raises:
        EvaluationError: `frames` is not positive.
        DatasetError: the data set cannot be read.
    """
    if frames < 1:
        raise EvaluationError(f"--frames is {frames}; calibration needs at least 1.")
    held_out = load_frames(data, "val")
    chosen = np.random.default_rng(seed).permutation(len(held_out))[:frames]
    inputs, _ = held_out.batch(np.sort(chosen))
    names = (IMAGE, MISSION, PREVIOUS_ACTION)
    return {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[np.float32]]) -> None:
    """Write an .npz whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_calibration(data: Path, path: Path, frames: int = 256, seed: int = 0) -> int:
    """Write the calibration file of a data set; return the number of frames in it."""
    arrays = calibration_arrays(data, frames, seed)
    write_arrays(path, arrays)
    return len(arrays[IMAGE])
