"""Check a user's input arrays against a program and turn them into the device's integers, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import did_you_mean
from vla_isa.numerics import INT8_MAX, INT8_MIN, quantize
from vla_isa.program import IoTensor, Program
from vlarun.errors import InputError

__all__ = ["Batch", "check_inputs", "to_integers", "to_real"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Checked inputs: `runs` runs, of which run i takes item i of axis 0 of the `batched` inputs."""

    arrays: Mapping[str, Array]
    batched: frozenset[str]
    runs: int

    def items(self) -> Iterator[dict[str, Array]]:
        """The inputs of each run, in the program's shapes."""
        for i in range(self.runs):
            yield {name: a[i : i + 1] if name in self.batched else a for name, a in self.arrays.items()}


def check_inputs(program: Program, inputs: Mapping[str, Any]) -> Batch:
    """Check names, shapes, dtypes and values.

    Raises:
        InputError: the first thing that is wrong, with what was expected.
    """
    _check_names(program, inputs)
    arrays: dict[str, Array] = {}
    counts: dict[str, int] = {}
    for tensor in program.inputs:
        array = np.asarray(inputs[tensor.name])
        count = _run_count(tensor, array.shape)
        if count is not None:
            counts[tensor.name] = count
        _check_values(tensor, array)
        arrays[tensor.name] = array
    if len(set(counts.values())) > 1:
        found = ", ".join(f"'{name}' {n}" for name, n in counts.items())
        raise InputError(f"inputs disagree on how often to run; axis 0 is: {found}. Give all the same number")
    runs = next(iter(counts.values()), 1)
    return Batch(arrays, frozenset(counts) if runs > 1 else frozenset(), runs)


def _check_names(program: Program, inputs: Mapping[str, Any]) -> None:
    names = [t.name for t in program.inputs]
    wanted = ", ".join(f"'{t.name}' {list(t.layout.shape)}" for t in program.inputs)
    for name in inputs:
        if name not in names:
            hint = did_you_mean(str(name), names)
            raise InputError(f"unknown input '{name}'; the program takes {wanted}.{hint}")
    missing = [name for name in names if name not in inputs]
    if missing:
        raise InputError(f"input {', '.join(map(repr, missing))} is missing; the program takes {wanted}")


def _run_count(tensor: IoTensor, shape: tuple[int, ...]) -> int | None:
    """How many runs an array asks for; None where axis 0 of the input is no batch."""
    want = tensor.layout.shape
    batch = len(want) > 0 and want[0] == 1
    if batch and len(shape) == len(want) and shape[1:] == want[1:] and shape[0] > 0:
        return shape[0]
    if shape == want:
        return None
    also = f", or [N, {', '.join(map(str, want[1:]))}] to run N times" if batch else ""
    raise InputError(f"input '{tensor.name}' has shape {list(shape)}; expected {list(want)}{also}")


def _check_values(tensor: IoTensor, array: Array) -> None:
    if array.dtype.kind in "iu":
        low, high = int(array.min(initial=0)), int(array.max(initial=0))
        if low < INT8_MIN or high > INT8_MAX:
            raise InputError(
                f"input '{tensor.name}' is {array.dtype}, so it is taken as already quantized, but holds "
                f"{low if low < INT8_MIN else high}, outside {INT8_MIN}..{INT8_MAX}; give float32 for real numbers"
            )
    elif array.dtype == np.float32:
        if not np.isfinite(array).all():
            at = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
            raise InputError(f"input '{tensor.name}' is {array[tuple(at)]} at {at}; every value must be finite")
    else:
        raise InputError(
            f"input '{tensor.name}' has dtype {array.dtype}; give float32 (real numbers) or an "
            "integer type (already quantized)"
        )


def to_integers(program: Program, arrays: Mapping[str, Array]) -> dict[str, NDArray[np.int8]]:
    """The device's integers of one run; integer arrays are taken as they are."""
    out = {}
    for t in program.inputs:
        array = arrays[t.name]
        real = array.dtype.kind == "f"
        out[t.name] = quantize(array, t.scale, t.zero_point) if real else array.astype(np.int8)
    return out


def to_real(q: Array, tensor: IoTensor) -> Array:
    """(q - zero_point) * scale in float32, then the ONNX value's dtype (float32 where numpy has none)."""
    real = (q.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
    try:
        return real.astype(np.dtype(tensor.onnx_dtype))
    except TypeError:
        return real
