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
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from vlac.errors import CalibrationError

__all__ = ["Samples", "read_samples"]

Samples = list[dict[str, NDArray[Any]]]
Shapes = Mapping[str, tuple[int, ...]]
Types = Mapping[str, np.dtype[Any]]
_FLOAT = np.dtype(np.float32)
_RANDOM_SAMPLES = 8


def read_samples(source: str, inputs: Shapes, dtypes: Types | None = None) -> Samples:
    """Samples from `FILE.npz`, a folder, `random` or `random:N`; each maps input names to arrays.

    Args:
        source: see above.
        inputs: the shape of each input of the model.
        dtypes: the dtype of each, float32 where it is missing.

    Raises:
        CalibrationError: unreadable data, missing or unknown names, wrong shapes, or values that are not finite.
    """
    kinds = {name: (dtypes or {}).get(name, _FLOAT) for name in inputs}
    found = re.fullmatch(r"random(?::(.*))?", source)
    if found:
        return _random(_RANDOM_SAMPLES if found[1] is None else found[1], inputs, kinds)
    path = Path(source)
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if not files:
            raise CalibrationError(f"calibration folder '{path}' holds no .npz files; put one per sample there")
        return [s for f in files for s in _split(_read(f), inputs, kinds, f)]
    if not path.is_file():
        raise CalibrationError(
            f"calibration data '{source}' does not exist; give an .npz file, a folder of them, "
            "or random:N to try without data"
        )
    return _split(_read(path), inputs, kinds, path)


def _random(count: int | str, inputs: Shapes, dtypes: Types) -> Samples:
    """Normal numbers; 0 and 1 for integers and truth values, which any index or mask may be."""
    text = str(count)
    if not re.fullmatch(r"0*[1-9]\d{0,4}", text):
        raise CalibrationError(f"--calib random:N takes a number of samples from 1 to 99999; found '{text}'")
    rng = np.random.default_rng(0)
    return [
        {
            name: np.asarray(
                rng.standard_normal(shape) if dtypes[name].kind == "f" else rng.integers(0, 2, shape), dtypes[name]
            )
            for name, shape in inputs.items()
        }
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


def _split(data: dict[str, NDArray[np.generic]], inputs: Shapes, dtypes: Types, path: Path) -> Samples:
    missing, unknown = sorted(set(inputs) - set(data)), sorted(set(data) - set(inputs))
    if missing or unknown:
        what = f"lacks input {', '.join(missing)}" if missing else f"has no such input: {', '.join(unknown)}"
        raise CalibrationError(f"calibration file '{path}' {what}; the model's inputs are {', '.join(inputs)}")
    arrays = {name: _samples_of(name, data[name], shape, dtypes[name], path) for name, shape in inputs.items()}
    counts = {name: len(a) for name, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise CalibrationError(
            f"calibration file '{path}' has different numbers of samples: "
            + ", ".join(f"{k} {n}" for k, n in counts.items())
        )
    if 0 in counts.values():
        raise CalibrationError(f"calibration file '{path}' has no samples; give at least one")
    return [{name: np.asarray(a[i]) for name, a in arrays.items()} for i in range(next(iter(counts.values())))]


def _samples_of(
    name: str, data: NDArray[np.generic], shape: tuple[int, ...], dtype: np.dtype[Any], path: Path
) -> NDArray[Any]:
    """All samples of one input, [N, *shape]."""
    if data.dtype.kind not in "fiub":
        raise CalibrationError(f"calibration file '{path}': input '{name}' has dtype {data.dtype}; give numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        values = data.astype(dtype)
    if dtype.kind != "f" and (values != data).any():
        wrong = data[values != data].reshape(-1)[0]
        raise CalibrationError(f"calibration file '{path}': input '{name}' is {dtype}, which cannot hold {wrong}")
    if not np.isfinite(values).all():
        raise CalibrationError(
            f"calibration file '{path}': input '{name}' has values that are not finite in {dtype}; remove them"
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
