"""A user's input arrays as the device's integers: checked, through the host's functions, quantized.

Not here: what names, shapes and dtypes mean (`vla_isa.input_arrays`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.input_arrays import Runs, read_runs
from vla_isa.integer import INT8
from vla_isa.program import IoTensor, Program
from vla_isa.signature import HostRun, Value, to_device
from vlarun.errors import InputError
from vlarun.native import quantize

__all__ = ["check_inputs", "device_integers", "to_integers", "wanted_inputs"]

Array = NDArray[Any]


def wanted_inputs(program: Program, raw: bool = False) -> tuple[list[Value], set[str]]:
    """The inputs that a run takes, and those that may be left out; `raw`: the device's, as integers."""
    if raw:
        return [Value(t.name, t.layout.shape, "int8") for t in program.inputs], set()
    return program.model_inputs, program.model.unused | {c.model_input for c in program.carried}


def check_inputs(program: Program, inputs: Mapping[str, Any], raw: bool = False) -> Runs:
    """Check names, shapes, dtypes and values; see `wanted_inputs`.

    Raises:
        InputError: the first thing that is wrong, with what was expected.
    """
    wanted, optional = wanted_inputs(program, raw)
    return read_runs(wanted, inputs, optional)


def to_integers(program: Program, arrays: Mapping[str, Array]) -> dict[str, NDArray[np.int8]]:
    """The device's integers of one run, from arrays of the model's inputs."""
    return device_integers(program, HostRun(program.model, arrays))


def device_integers(program: Program, host: HostRun) -> dict[str, NDArray[np.int8]]:
    """What the device takes of a run of the host.

    Raises:
        InputError: a value is not a number.
    """
    return {t.name: _integers(t, value) for t, value in zip(program.inputs, host.feeds(), strict=True)}


def _integers(tensor: IoTensor, value: Array) -> NDArray[np.int8]:
    if value.dtype.kind == "f" and np.isnan(value).any():
        at = [int(i) for i in np.argwhere(np.isnan(value))[0]]
        raise InputError(
            f"'{tensor.name}', which the host computes from the inputs, is not a number at {at}; "
            "check the input there (Log of a negative number, or 0 / 0)"
        )
    if value.dtype == np.float32 and tensor.layout.type == INT8:
        return quantize(value, tensor.scale, tensor.zero_point)
    return to_device(value, tensor.scale, tensor.zero_point, tensor.layout.type)
