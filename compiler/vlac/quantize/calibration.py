"""Calibration data: an .npz file, a folder of .npz files, or random numbers, as samples for the model's inputs.

Per input name one array, of the input's own shape (one sample), with one more leading axis (N samples), or
with axis 0 = N where the input's is 1. A folder holds one .npz per sample.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from vlac.errors import CalibrationError

__all__ = ["Samples", "read_samples"]

Samples = list[dict[str, NDArray[np.float32]]]
Shapes = Mapping[str, tuple[int, ...]]
_RANDOM_SAMPLES = 8


def read_samples(source: str, inputs: Shapes) -> Samples:
    """Samples from `FILE.npz`, a folder, `random` or `random:N`; each maps input names to float32 arrays.

    Raises:
        CalibrationError: unreadable data, missing or unknown names, wrong shapes, or values that are not finite.
    """
    found = re.fullmatch(r"random(?::(.*))?", source)
    if found:
        return _random(_RANDOM_SAMPLES if found[1] is None else found[1], inputs)
    path = Path(source)
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if not files:
            raise CalibrationError(f"calibration folder '{path}' holds no .npz files; put one per sample there")
        return [s for f in files for s in _split(_read(f), inputs, f)]
    if not path.is_file():
        raise CalibrationError(
            f"calibration data '{source}' does not exist; give an .npz file, a folder of them, "
            "or random:N to try without data"
        )
    return _split(_read(path), inputs, path)


def _random(count: int | str, inputs: Shapes) -> Samples:
    text = str(count)
    if not re.fullmatch(r"0*[1-9]\d{0,4}", text):
        raise CalibrationError(f"--calib random:N takes a number of samples from 1 to 99999; found '{text}'")
    rng = np.random.default_rng(0)
    return [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in inputs.items()}
        for _ in range(int(text))
    ]


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        data = np.load(path, allow_pickle=False)
        if not isinstance(data, NpzFile):
            raise ValueError("it holds one array without a name; save it with numpy.savez(file, input_name=array)")
        with data:
            return {k: data[k] for k in data.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as e:
        raise CalibrationError(f"calibration file '{path}' is not a readable .npz file: {e}") from e


def _split(data: dict[str, NDArray[np.generic]], inputs: Shapes, path: Path) -> Samples:
    missing, unknown = sorted(set(inputs) - set(data)), sorted(set(data) - set(inputs))
    if missing or unknown:
        what = f"lacks input {', '.join(missing)}" if missing else f"has no such input: {', '.join(unknown)}"
        raise CalibrationError(f"calibration file '{path}' {what}; the model's inputs are {', '.join(inputs)}")
    arrays = {name: _samples_of(name, data[name], shape, path) for name, shape in inputs.items()}
    counts = {name: len(a) for name, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise CalibrationError(
            f"calibration file '{path}' has different numbers of samples: "
            + ", ".join(f"{k} {n}" for k, n in counts.items())
        )
    if 0 in counts.values():
        raise CalibrationError(f"calibration file '{path}' has no samples; give at least one")
    return [{name: a[i] for name, a in arrays.items()} for i in range(next(iter(counts.values())))]


def _samples_of(name: str, data: NDArray[np.generic], shape: tuple[int, ...], path: Path) -> NDArray[np.float32]:
    """All samples of one input, float32 [N, *shape]."""
    if data.dtype.kind not in "fiub":
        raise CalibrationError(f"calibration file '{path}': input '{name}' has dtype {data.dtype}; give numbers")
    with np.errstate(over="ignore"):
        values = data.astype(np.float32)
    if not np.isfinite(values).all():
        raise CalibrationError(
            f"calibration file '{path}': input '{name}' has values that are not finite in float32; remove them"
        )
    if data.shape == shape:
        return values[None]
    if data.ndim == len(shape) + 1 and data.shape[1:] == shape:
        return values
    if shape and shape[0] == 1 and data.shape[1:] == shape[1:]:
        return values[:, None]
    raise CalibrationError(
        f"calibration file '{path}': input '{name}' has shape {list(data.shape)}; give {list(shape)} "
        f"(one sample) or [N, {', '.join(map(str, shape))}]"
    )
