"""From an output's integers to what the model returns: dequantize, the steps left to the host, the ONNX dtype.

All in float32. Not here: which steps a model needs (the compiler's choice, in the program file).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.numerics import quantize
from vla_isa.program import Finish, IoTensor

__all__ = ["to_output"]

Array = NDArray[Any]


def to_output(q: Array, tensor: IoTensor) -> Array:
    """(q - zero_point) * scale in float32, the output's `finish`, then its dtype (float32 where numpy has none)."""
    real = _dequantized(q, tensor.scale, tensor.zero_point)
    for step in tensor.finish:
        real = _step(real, step)
    try:
        return real.astype(np.dtype(tensor.onnx_dtype))
    except TypeError:
        return real


def _dequantized(q: Array, scale: float, zero_point: int) -> Array:
    return (q.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _step(x: Array, step: Finish) -> Array:
    if step.function == "Quantize":
        x = _dequantized(quantize(x, step.scale, step.zero_point), step.scale, step.zero_point)
    elif step.function in ("Softmax", "LogSoftmax"):
        x = x - x.max(axis=step.axis, keepdims=True)
        total = np.exp(x).sum(axis=step.axis, keepdims=True)
        x = np.exp(x) / total if step.function == "Softmax" else x - np.log(total)
    elif step.function in ("ArgMax", "ArgMin"):
        keys = x if step.function == "ArgMax" else -x
        found = keys.argmax(axis=step.axis)
        if step.last:
            found = x.shape[step.axis] - 1 - np.flip(keys, step.axis).argmax(axis=step.axis)
        x = np.asarray(found)
    return x.reshape(step.shape)
