"""Calibration data as samples for the model's inputs: files, arrays, or random numbers.

A file or a mapping has one array per input, as `vla_isa.input_arrays` reads them for a run too: real values of the
model's input in any dtype, of one sample or of N. A folder holds .npz files, a sequence holds mappings.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.errors import InputError
from vla_isa.input_arrays import names_of, read_npz, read_runs
from vla_isa.integer import INT8
from vla_isa.program import MAX_SCALE
from vla_isa.signature import Value
from vlac.errors import CalibrationError
from vlac.model.carried import repeat_of
from vlac.model.reading import dtype_of, shape_of

__all__ = ["CalibrationData", "Samples", "is_random", "model_values", "names_in", "random_array", "read_samples"]

Samples = list[dict[str, NDArray[Any]]]
CalibrationData: TypeAlias = str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]
_RANDOM_SAMPLES, _RANDOM = 8, re.compile(r"random(?::(.*))?")
_MAX_VALUE = INT8.hi * MAX_SCALE


def model_values(model: ir.Model) -> tuple[list[Value], set[str]]:
    """The inputs of a model, and the names of those that nothing reads, or that are the number of the round."""
    inputs = list(model.graph.inputs)
    values = [Value(v.name or "", shape_of(v), dtype_of(v)) for v in inputs]
    counter = repeat_of(model).counter
    unused = {v.name or "" for v in inputs if v is counter or (not v.consumers() and not v.is_graph_output())}
    return values, unused


def read_samples(
    source: CalibrationData, inputs: Sequence[Value], optional: Collection[str] = (), unscaled: Collection[str] = ()
) -> Samples:
    """Samples from `FILE.npz`, a folder, `random`, `random:N`, or arrays; each maps input names to arrays.

    Args:
        source: where they are.
        inputs: of the model.
        optional: names of inputs that may be missing.
        unscaled: names of inputs that no scale is made for, as masks: they may hold any finite number.

    Raises:
        CalibrationError: unreadable data, missing or unknown names, wrong shapes or dtypes, values that no scale holds.
    """
    if isinstance(source, Mapping):
        return _samples("calibration data", source, inputs, optional, unscaled)
    if not isinstance(source, str | Path):
        maps = [s for s in source if isinstance(s, Mapping)] if isinstance(source, Sequence) else []
        if not maps or len(maps) < len(source):
            raise CalibrationError(
                f"calibration data is {type(source).__name__}; give a file, a mapping of input names to arrays, or a "
                "sequence of at least one such mapping"
            )
        return [
            x for i, s in enumerate(maps) for x in _samples(f"calibration sample {i}", s, inputs, optional, unscaled)
        ]
    if random := _RANDOM.fullmatch(str(source)):
        return _random(_RANDOM_SAMPLES if random[1] is None else random[1], inputs)
    path = Path(source)
    if not path.exists():
        raise CalibrationError(
            f"calibration data '{source}' does not exist; give an .npz file, a folder of them, "
            "or random:N to try without data"
        )
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise CalibrationError(f"calibration folder '{path}' holds no .npz files; put one per sample there")
    return [sample for f in files for sample in _samples(f"calibration file '{f}'", f, inputs, optional, unscaled)]


def is_random(source: CalibrationData) -> bool:
    """Whether it is no data, but random numbers."""
    return isinstance(source, str | Path) and _RANDOM.fullmatch(str(source)) is not None


def names_in(source: CalibrationData) -> set[str]:
    """The inputs that `source` of `read_samples` has arrays of, in every file or mapping; none of random numbers."""
    if isinstance(source, Mapping):
        return {*source}
    if not isinstance(source, str | Path):
        return set.intersection(*({*each} for each in source))
    path = Path(source)
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path] if path.exists() else []
    try:
        names = [names_of(file) for file in files]
    except InputError as e:
        raise CalibrationError(f"calibration file {e}") from e
    return set.intersection(*names) if names else set()


def _samples(
    what: str,
    source: Path | Mapping[str, Any],
    inputs: Sequence[Value],
    optional: Collection[str],
    unscaled: Collection[str],
) -> Samples:
    """The samples of one file or mapping; `what` names it in errors."""
    try:
        arrays = read_npz(source, inputs, optional) if isinstance(source, Path) else source
    except InputError as e:
        raise CalibrationError(f"calibration file {e}") from e
    try:
        samples = list(read_runs(inputs, arrays, optional).items())
    except InputError as e:
        raise CalibrationError(f"{what}: {e}") from e
    for name, array in (item for sample in samples for item in sample.items() if item[0] not in unscaled):
        largest = float(np.abs(array.astype(np.float64)).max(initial=0))
        if largest > _MAX_VALUE:
            raise CalibrationError(
                f"{what}: input '{name}' holds {largest:g}; the limit is {_MAX_VALUE:.3g}, the largest value that an "
                "int8 scale reaches. Give data in the units of the model"
            )
    return samples


def _random(count: int | str, inputs: Sequence[Value]) -> Samples:
    text = str(count)
    if not re.fullmatch(r"0*[1-9]\d{0,4}", text):
        raise CalibrationError(f"--calib random:N takes a number of samples from 1 to 99999; found '{text}'")
    rng = np.random.default_rng(0)
    return [{v.name: random_array(rng, v) for v in inputs} for _ in range(int(text))]


def random_array(rng: np.random.Generator, value: Value) -> NDArray[Any]:
    """Normal numbers; of 8-bit integers all values, of wider ones (which may be indices) 0 and 1."""
    dtype = np.dtype(value.dtype)
    if dtype.kind == "f":
        return rng.standard_normal(value.shape).astype(dtype)
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.itemsize == 1 and dtype.kind in "iu" else (0, 1)
    return rng.integers(low, high, value.shape, np.int64, endpoint=True).astype(dtype)
