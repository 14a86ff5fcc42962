"""The functions that the host computes in front of the device and behind it, in numpy.

Each is the ONNX operator of its name, on arrays of one dtype, with static shapes. `numbers` are its attributes:

    Transpose                   the permutation
    Slice                       the first element of every axis, then the step of every axis; sizes are the result's
    Concat, Softmax, LogSoftmax the axis
    ArgMax, ArgMin              the axis, then 1 where the last of equal values wins
    CumSum                      the axis
    Gather                      none: rows of operand 1 by the numbers of operand 0, from the end where below 0
    Where                       none: operand 1 where operand 0 is true, else operand 2
    Items                       none: numbers as 16 bytes each, int8 [elements, 16], 64 bits little endian, then 0; or
                                how many there are: a number below 0 counts from the end
    Quantize                    the zero point; operand 1 is the scale: QuantizeLinear and DequantizeLinear to int8

Not here: which of them a model needs (the compiler's choice), and what they are applied to (`signature.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import InputError
from vla_isa.integer import INT8
from vla_isa.numerics import ITEM_BYTES, pack_items, quantize

__all__ = ["DTYPES", "FUNCTIONS", "MOVERS", "HostFunction"]

Array = NDArray[Any]
Shape = tuple[int, ...]
Numbers = tuple[int, ...]

DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)


@dataclass(frozen=True)
class HostFunction:
    """One function.

    Attributes:
        operands: how many it reads; 0 for one or more.
        compute: operands, shape of the result and numbers to the result.
        fits: whether the operands' shapes, the result's and the numbers belong together.
        kinds: numpy kinds of dtypes that it takes.
        first: numpy kinds of operand 0, where that has another dtype than the others; "" where it has theirs.
        makes: the dtype of the result where it is not the operands'.
    """

    operands: int
    compute: Callable[[list[Array], Shape, Numbers], Any]
    fits: Callable[[Sequence[Shape], Shape, Numbers], bool]
    kinds: str = "fiub"
    first: str = ""
    makes: str = ""


# --- element by element -------------------------------------------------------------------------------


def _spread(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    try:
        return np.broadcast_shapes(*shapes) == out and not numbers
    except ValueError:
        return False


def _unary(function: Callable[[Array], Any], kinds: str = "f") -> HostFunction:
    return HostFunction(1, lambda x, shape, numbers: function(x[0]), _spread, kinds)


def _binary(function: Callable[[Array, Array], Any], kinds: str = "fiu") -> HostFunction:
    return HostFunction(2, lambda x, shape, numbers: function(x[0], x[1]), _spread, kinds)


def _comparison(function: Callable[[Array, Array], Any], kinds: str = "fiu") -> HostFunction:
    return HostFunction(2, lambda x, shape, numbers: function(x[0], x[1]), _spread, kinds, makes="bool")


def _modulo(a: Array, b: Array) -> Array:
    if not b.all():
        raise InputError("the model divides by a number of its inputs that is 0 (Mod)")
    return np.asarray(np.mod(a, b))


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))


# --- moves --------------------------------------------------------------------------------------------


def _is_permutation(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    (shape,) = shapes
    return sorted(numbers) == list(range(len(shape))) and out == tuple(shape[i] for i in numbers)


def _slice_fits(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    (shape,) = shapes
    rank = len(shape)
    if len(out) != rank or len(numbers) != 2 * rank:
        return False
    ends = zip(numbers[:rank], numbers[rank:], out, shape, strict=True)
    return all(step != 0 and 0 <= start < n and 0 <= start + (size - 1) * step < n for start, step, size, n in ends)


def _slice(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
    rank = len(shape)
    picks = [start + step * np.arange(n) for start, step, n in zip(numbers[:rank], numbers[rank:], shape, strict=True)]
    return np.asarray(x[0][np.ix_(*picks)]) if rank else x[0]


def _joins(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    if len(numbers) != 1 or not 0 <= numbers[0] < len(out):
        return False
    axis = numbers[0]
    rest = out[:axis] + out[axis + 1 :]
    alike = all(len(s) == len(out) and s[:axis] + s[axis + 1 :] == rest for s in shapes)
    return alike and sum(s[axis] for s in shapes) == out[axis]


def _rows(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
    """Raises `InputError` where a number is no row."""
    rows, table = x
    bad = rows[(rows < -len(table)) | (rows >= len(table))]
    if bad.size:
        raise InputError(f"a number of the model's inputs is {bad[0]}; it chooses one of {len(table)} rows (Gather)")
    return np.asarray(table[rows])


def _are_rows(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    rows, table = shapes
    return len(table) > 0 and out == (*rows, *table[1:]) and not numbers


def _multiplies(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    a, b = shapes
    if min(len(a), len(b)) < 2 or a[-1] != b[-2] or numbers:
        return False
    return _spread((a[:-2], b[:-2]), out[:-2], ()) and out[-2:] == (a[-2], b[-1])


# --- along an axis ------------------------------------------------------------------------------------


def _along(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    return shapes[0] == out and len(numbers) == 1 and 0 <= numbers[0] < len(out)


def _softmax(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
    powers = np.exp(x[0] - x[0].max(axis=numbers[0], keepdims=True))
    return np.asarray(powers / powers.sum(axis=numbers[0], keepdims=True))


def _log_softmax(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
    less = x[0] - x[0].max(axis=numbers[0], keepdims=True)
    return np.asarray(less - np.log(np.exp(less).sum(axis=numbers[0], keepdims=True)))


def _picks(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    (shape,) = shapes
    if len(numbers) != 2 or not 0 <= numbers[0] < len(shape):
        return False
    return math.prod(out) == math.prod(shape) // shape[numbers[0]]


def _index(find: Callable[[Array], Array]) -> Callable[[list[Array], Shape, Numbers], Any]:
    """The position of what `find` makes the largest."""

    def compute(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
        axis, last = numbers
        keys = find(x[0])
        found = keys.argmax(axis=axis)
        if last:
            found = keys.shape[axis] - 1 - np.flip(keys, axis).argmax(axis=axis)
        return np.asarray(found).reshape(shape)

    return compute


def _quantize(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
    scale, zero = np.float32(x[1].reshape(-1)[0]), np.float32(numbers[0])
    return np.asarray((quantize(x[0], float(scale), numbers[0]).astype(np.float32) - zero) * scale)


def _quantize_fits(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    scalar = math.prod(shapes[1]) == 1
    return shapes[0] == out and scalar and len(numbers) == 1 and INT8.lo <= numbers[0] <= INT8.hi


def _items(x: list[Array], shape: Shape, numbers: Numbers) -> Array:
    info = np.iinfo(np.int32)  # the machine reads 32 bits; what is beyond is no row in any case
    most = np.minimum(x[0], np.uint64(info.max)) if x[0].dtype == np.uint64 else x[0]
    values = np.clip(most.reshape(-1).astype(np.int64), info.min, info.max)
    return pack_items(np.where(values < 0, values + numbers[0], values) if numbers else values)


def _items_fit(shapes: Sequence[Shape], out: Shape, numbers: Numbers) -> bool:
    return out == (math.prod(shapes[0]), ITEM_BYTES) and (not numbers or (len(numbers) == 1 and numbers[0] > 0))


FUNCTIONS = {
    "Abs": _unary(np.abs, "fi"),
    "Add": _binary(np.add),
    "And": _comparison(np.logical_and, "b"),
    "ArgMax": HostFunction(1, _index(lambda x: x), _picks, "fi", makes="int64"),
    "ArgMin": HostFunction(1, _index(np.negative), _picks, "f", makes="int64"),
    "Cast": _unary(lambda x: x, "fiub"),  # to the dtype of the result
    "Ceil": _unary(np.ceil),
    "Concat": HostFunction(0, lambda x, shape, numbers: np.concatenate(x, axis=numbers[0]), _joins),
    "Cos": _unary(np.cos),
    "CumSum": HostFunction(1, lambda x, shape, numbers: x[0].cumsum(numbers[0]), _along, "fi"),
    "Div": _binary(np.divide, "f"),
    "Equal": _comparison(np.equal, "fiub"),
    "Exp": _unary(np.exp),
    "Expand": HostFunction(
        1, lambda x, shape, _: np.broadcast_to(x[0], shape), lambda s, out, n: _spread((s[0], out), out, n)
    ),
    "Floor": _unary(np.floor),
    "Gather": HostFunction(2, _rows, _are_rows, first="iu"),
    "Greater": _comparison(np.greater),
    "GreaterOrEqual": _comparison(np.greater_equal),
    "Items": HostFunction(1, _items, _items_fit, "iu", makes="int8"),
    "Less": _comparison(np.less),
    "LessOrEqual": _comparison(np.less_equal),
    "Log": _unary(np.log),
    "LogSoftmax": HostFunction(1, _log_softmax, _along, "f"),
    "MatMul": HostFunction(2, lambda x, shape, numbers: x[0] @ x[1], _multiplies, "f"),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Mod": _binary(_modulo, "iu"),
    "Mul": _binary(np.multiply),
    "Neg": _unary(np.negative, "fi"),
    "Not": _unary(np.logical_not, "b"),
    "Or": _comparison(np.logical_or, "b"),
    "Pow": _binary(np.power, "f"),
    "Quantize": HostFunction(2, _quantize, _quantize_fits, "f"),
    "Reciprocal": _unary(np.reciprocal),
    "Relu": _unary(lambda x: np.maximum(x, x.dtype.type(0)), "fi"),
    "Reshape": HostFunction(
        1, lambda x, shape, _: x[0].reshape(shape), lambda s, out, n: math.prod(s[0]) == math.prod(out) and not n
    ),
    "Round": _unary(np.rint),
    "Sigmoid": _unary(_sigmoid),
    "Sign": _unary(np.sign, "fi"),
    "Sin": _unary(np.sin),
    "Slice": HostFunction(1, _slice, _slice_fits),
    "Softmax": HostFunction(1, _softmax, _along, "f"),
    "Sqrt": _unary(np.sqrt),
    "Sub": _binary(np.subtract),
    "Tan": _unary(np.tan),
    "Tanh": _unary(np.tanh),
    "Transpose": HostFunction(1, lambda x, shape, numbers: x[0].transpose(numbers), _is_permutation),
    "Where": HostFunction(3, lambda x, shape, numbers: np.where(*x), _spread, first="b"),
}
MOVERS = ("Concat", "Reshape", "Slice", "Transpose")
