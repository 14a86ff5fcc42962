"""The graphs of T3, one line each: operator, what is particular about it, operands, attributes.

An operand is a tuple (a model input of that shape), `W(...)` (seeded random weights of that shape), a list, a number
or a NumPy number (a constant), `""` (left out), `Node(n)` (the first output of an earlier node) or `Input(n)` (a model
input once more).
Shapes are small, and off multiples of the channel block: 20 channels are two blocks of 16 or three of 8.
Not here: making models of them (`graph_cases.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["GRAPHS", "Graph", "Input", "Node", "Step", "W"]

Range = tuple[float, float]
USUAL: Range = (-3.0, 3.0)


class W(tuple[int, ...]):
    """The shape of random weights: normal, variance 2 / values per output."""


@dataclass(frozen=True)
class Node:
    """The first output of an earlier node of the same graph."""

    number: int


@dataclass(frozen=True)
class Input:
    """A model input of the same graph once more."""

    number: int


@dataclass(frozen=True)
class Step:
    """One ONNX node of a graph; what it writes last are the model's outputs."""

    operator: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any]
    outputs: int = 1


@dataclass(frozen=True)
class Graph:
    """A graph about one operator; `values` are the bounds of the calibration data."""

    operator: str
    what: str
    steps: tuple[Step, ...]
    values: Range = USUAL


def _one(operator: str, what: str, *operands: Any, values: Range = USUAL, outputs: int = 1, **a: Any) -> Graph:
    """A graph of a single node."""
    return Graph(operator, what, (Step(operator, operands, a, outputs),), values)


IMAGE, VECTOR = (1, 20, 5, 7), (1, 40)

# operator -> (bounds that keep calibration in the domain, attributes)
FUNCTIONS: dict[str, tuple[Range, dict[str, Any]]] = {
    "Abs": (USUAL, {}),
    "Acos": ((-0.9, 0.9), {}),
    "Acosh": ((1.0, 3.0), {}),
    "Asin": ((-0.9, 0.9), {}),
    "Asinh": (USUAL, {}),
    "Atan": (USUAL, {}),
    "Atanh": ((-0.9, 0.9), {}),
    "Ceil": (USUAL, {}),
    "Celu": (USUAL, {"alpha": 0.7}),
    "Cos": (USUAL, {}),
    "Cosh": (USUAL, {}),
    "Elu": (USUAL, {"alpha": 0.5}),
    "Erf": (USUAL, {}),
    "Exp": (USUAL, {}),
    "Floor": (USUAL, {}),
    "Gelu": (USUAL, {"approximate": "tanh"}),
    "HardSigmoid": (USUAL, {"alpha": 0.3, "beta": 0.4}),
    "HardSwish": (USUAL, {}),
    "LeakyRelu": (USUAL, {"alpha": -0.3}),
    "Log": ((0.2, 3.0), {}),
    "Mish": (USUAL, {}),
    "Neg": (USUAL, {}),
    "Reciprocal": ((0.5, 3.0), {}),
    "Relu": (USUAL, {}),
    "Round": (USUAL, {}),
    "Selu": (USUAL, {}),
    "Shrink": (USUAL, {"bias": 0.2, "lambd": 0.4}),
    "Sigmoid": (USUAL, {}),
    "Sign": (USUAL, {}),
    "Sin": (USUAL, {}),
    "Sinh": (USUAL, {}),
    "Softplus": (USUAL, {}),
    "Softsign": (USUAL, {}),
    "Sqrt": ((0.0, 3.0), {}),
    "Swish": (USUAL, {}),
    "Tan": ((-1.0, 1.0), {}),
    "Tanh": (USUAL, {}),
    "ThresholdedRelu": (USUAL, {"alpha": 0.3}),
}

TABLES = [
    _one(operator, what, shape, values=values, **attributes)
    for operator, (values, attributes) in FUNCTIONS.items()
    for what, shape in (("image", IMAGE), ("vector", VECTOR))
] + [
    _one("Clip", "image", IMAGE, -0.5, 1.0),
    _one("Clip", "below", IMAGE, "", 0.5),
    _one("Pow", "cube", IMAGE, 3.0),
    _one("PRelu", "scalar", IMAGE, W((1,))),
    _one("PRelu", "per.channel", IMAGE, W((20, 1, 1))),
    _one("Celu", "five.axes", (2, 1, 3, 2, 4)),
]


def _where(operator: str, *conditions: Step) -> Graph:
    """A Where behind a truth value that `conditions` make of the input."""
    steps = (*conditions, Step("Where", (Node(len(conditions) - 1), Input(0), -0.25), {}))
    return Graph(operator, "where", steps)


GREATER, LESS = Step("Greater", (IMAGE, -1.0), {}), Step("Less", (Input(0), 1.5), {})

CHOICES = [
    *[
        _where(operator, Step(operator, (IMAGE, 0.0), {}))
        for operator in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ],
    *[_where(operator, GREATER, LESS, Step(operator, (Node(0), Node(1)), {})) for operator in ("And", "Or")],
    _where("Not", GREATER, Step("Not", (Node(0),), {})),
    _where("Where", GREATER),
]

TWO_OPERANDS = [
    graph
    for operator in ("Add", "Sub", "Mul", "Max", "Min")
    for graph in (
        _one(operator, "images", IMAGE, IMAGE),
        _one(operator, "vectors", VECTOR, VECTOR),
        _one(operator, "per.channel", IMAGE, W((20, 1, 1))),
        _one(operator, "per.pixel", IMAGE, W((1, 1, 5, 7))),
        _one(operator, "scalar", IMAGE, 0.7),
        _one(operator, "spread", IMAGE, (1, 20, 1, 1)),
    )
] + [
    _one("Div", "scalar", IMAGE, 0.7),
    _one("Div", "per.channel", IMAGE, W((20, 1, 1))),
    _one("Sum", "three", IMAGE, IMAGE, IMAGE),
    _one("Mean", "three", IMAGE, IMAGE, IMAGE),
]


def _conv(what: str, weights: tuple[int, ...], x: tuple[int, ...] = IMAGE, **attributes: Any) -> Graph:
    return _one("Conv", what, x, W(weights), W((weights[0],)), **attributes)


def _conv_transpose(what: str, weights: tuple[int, ...], x: tuple[int, ...] = IMAGE, **attributes: Any) -> Graph:
    outputs = weights[1] * attributes.get("group", 1)
    return _one("ConvTranspose", what, x, W(weights), W((outputs,)), **attributes)


PRODUCTS = [
    _conv("1x1", (24, 20, 1, 1)),
    _conv("3x3", (24, 20, 3, 3), pads=[1, 1, 1, 1]),
    _conv("stride.2", (9, 20, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    _conv("stride.3x2.uneven.padding", (9, 20, 2, 3), strides=[3, 2], pads=[0, 2, 1, 0]),
    _conv("dilation", (9, 20, 3, 3), dilations=[2, 3], pads=[2, 3, 2, 3]),
    _conv("groups", (24, 10, 3, 3), group=2, pads=[1, 1, 1, 1]),
    _conv("depthwise", (20, 1, 3, 3), group=20, pads=[1, 1, 1, 1]),
    _conv("kernel.17", (4, 3, 17, 17), (1, 3, 20, 19)),
    _conv("stride.5", (6, 3, 5, 5), (1, 3, 15, 11), strides=[5, 5]),
    _conv("one.dimension", (12, 20, 3), (1, 20, 9)),
    _conv_transpose("plain", (20, 9, 3, 3)),
    _conv_transpose("stride.2", (20, 9, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    _conv_transpose("stride.2x3", (20, 9, 2, 3), strides=[2, 3]),
    _conv_transpose("dilation", (20, 9, 3, 3), dilations=[2, 2]),
    _conv_transpose("groups", (20, 5, 3, 3), group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
    _one("Gemm", "row", VECTOR, W((30, 40)), W((30,)), transB=1),
    _one("Gemm", "rows", (5, 37), W((37, 30)), W((30,)), alpha=0.5, beta=2.0),
    _one("Gemm", "transposed", (20, 6), W((20, 12)), transA=1),
    _one("Gemm", "one.value", (1, 1), W((1, 1))),
    _one("MatMul", "row", (1, 48), W((48, 28))),
    _one("MatMul", "rows", (6, 20), W((20, 33))),
    _one("MatMul", "vector", (6, 20), W((20,))),
    _one("MatMul", "stack", (3, 5, 12), W((3, 12, 9))),
    _one("BatchNormalization", "image", IMAGE, W((20,)), W((20,)), W((20,)), [0.5 + n / 20 for n in range(20)]),
]

WINDOWS: dict[str, dict[str, Any]] = {
    "3x3": {"kernel_shape": [3, 3]},
    "stride.2": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "padding": {"kernel_shape": [3, 2], "strides": [3, 1], "pads": [1, 0, 0, 1]},
    "ceil": {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    "same": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "dilation": {"kernel_shape": [2, 3], "dilations": [3, 2]},
}

POOLS = (
    [
        _one(operator, what, IMAGE, **attributes)
        for operator in ("MaxPool", "AveragePool")
        for what, attributes in WINDOWS.items()
    ]
    + [
        _one("AveragePool", "count.padding", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        _one("GlobalAveragePool", "image", IMAGE),
        _one("GlobalMaxPool", "image", IMAGE),
    ]
    + [
        _one(operator, what, shape, axes, keepdims=keep)
        for operator in ("ReduceMean", "ReduceSum", "ReduceMax")
        for what, shape, axes, keep in (
            ("space", IMAGE, [2, 3], 0),
            ("rows", IMAGE, [2], 1),
            ("channels", (1, 10, 5, 6), [1], 1),
            ("matrix", (6, 20), [-1], 1),
        )
    ]
)


def _resize(what: str, x: tuple[int, ...] = (1, 20, 4, 6), sizes: Any = "", scales: Any = "", **a: Any) -> Graph:
    return _one("Resize", what, x, "", scales, sizes, **a)


MOVES = [
    _one("Concat", "channels", IMAGE, (1, 9, 5, 7), axis=1),
    _one("Concat", "rows", IMAGE, (1, 20, 3, 7), axis=2),
    _one("Concat", "pixels", IMAGE, IMAGE, axis=3),
    _one("Concat", "vectors", VECTOR, (1, 7), axis=1),
    _one("Pad", "constant", IMAGE, [0, 0, 1, 2, 0, 0, 3, 0], 0.7),
    _one("Pad", "reflect", IMAGE, [0, 0, 1, 2, 0, 0, 3, 1], mode="reflect"),
    _one("Pad", "edge", IMAGE, [0, 0, 1, 2, 0, 0, 3, 1], mode="edge"),
    _one("Pad", "wrap", IMAGE, [0, 0, 1, 2, 0, 0, 3, 1], mode="wrap"),
    _one("Pad", "channels", IMAGE, [0, 3, 0, 0, 0, 2, 0, 0]),
    _resize("nearest", scales=[1.0, 1.0, 2.0, 2.0], mode="nearest", coordinate_transformation_mode="asymmetric"),
    _resize("nearest.size", sizes=[1, 20, 7, 9], mode="nearest"),
    _resize("linear", scales=[1.0, 1.0, 2.0, 2.0], mode="linear"),
    _resize("linear.half", scales=[1.0, 1.0, 0.5, 0.5], mode="linear"),
    _resize(
        "linear.corners", (1, 20, 3, 4), [1, 20, 5, 7], mode="linear", coordinate_transformation_mode="align_corners"
    ),
    _resize("cubic", (1, 5, 4, 6), scales=[1.0, 1.0, 2.0, 2.0], mode="cubic"),
    _one("Slice", "rows", IMAGE, [1], [4], [2], [1]),
    _one("Slice", "channels", IMAGE, [3], [17], [1], [1]),
    _one("Slice", "steps", IMAGE, [19, 0, 6], [0, 5, -8], [1, 2, 3], [-3, 2, -1]),
    _one("Split", "channels", IMAGE, [5, 15], axis=1, outputs=2),
    _one("Split", "rows", IMAGE, [2, 3], axis=2, outputs=2),
    _one("Gather", "channels", IMAGE, [3, 3, 0, 19], axis=1),
    _one("Gather", "pixels", IMAGE, [-1, 2, 2, 4], axis=3),
    _one("GatherND", "pixels", (6, 20), [[3], [0], [3]]),
    _one("Tile", "pixels", IMAGE, [1, 1, 2, 3]),
    _one("Tile", "channels", IMAGE, [1, 2, 1, 1]),
    _one("Expand", "rows", (1, 20, 1, 7), [1, 20, 5, 7]),
    _one("Transpose", "pixels.last", IMAGE, perm=[0, 2, 3, 1]),
    _one("Transpose", "pixels", IMAGE, perm=[0, 1, 3, 2]),
    _one("Transpose", "rows.and.channels", (1, 10, 6, 4), perm=[0, 2, 1, 3]),
    _one("DepthToSpace", "dcr", IMAGE, blocksize=2),
    _one("DepthToSpace", "crd", (1, 32, 5, 7), blocksize=2, mode="CRD"),
    _one("SpaceToDepth", "image", (1, 5, 4, 6), blocksize=2),
    _one("Reshape", "flat", IMAGE, [1, 700]),
    _one("Reshape", "split.channels", IMAGE, [1, 2, 10, 5, 7]),
    _one("Flatten", "image", IMAGE),
    _one("Squeeze", "image", (1, 20, 1, 7), [2]),
    _one("Unsqueeze", "vector", VECTOR, [0, 3]),
    _one("Identity", "image", IMAGE),
    _one("Dropout", "image", IMAGE),
    _one("Cast", "image", IMAGE, to=1),
]


def _inside(operator: str, what: str, *operands: Any, x: tuple[int, ...] = IMAGE, **attributes: Any) -> Graph:
    """Between two pools, so that it is neither the host nor a matrix that changes the order of the values."""
    pool: dict[str, Any] = {"kernel_shape": [2, 2]}
    steps = (
        Step("MaxPool", (x,), pool),
        Step(operator, (Node(0), *operands), attributes),
        Step("MaxPool", (Node(1),), pool),
    )
    return Graph(operator, what, steps)


INSIDE = [
    _inside("Transpose", "inside.pixels", perm=[0, 1, 3, 2]),
    _inside("Transpose", "inside.rows.and.channels", x=(1, 10, 6, 5), perm=[0, 2, 1, 3]),
    _inside("DepthToSpace", "inside", blocksize=2),
    _inside("SpaceToDepth", "inside", x=(1, 5, 7, 9), blocksize=2),
    _inside("Reshape", "inside", [1, 10, 8, 6]),
]


def _behind_conv(operator: str, *operands: Any, what: str = "of.conv", **attributes: Any) -> Graph:
    """Behind a convolution that can take it as its clamp, table or residual."""
    conv = Step("Conv", (IMAGE, W((20, 20, 3, 3)), W((20,))), {"pads": [1, 1, 1, 1]})
    return Graph(operator, what, (conv, Step(operator, (Node(0), *operands), attributes)))


FUSED = [
    _behind_conv("Relu"),
    _behind_conv("Clip", 0.0, 1.0),
    _behind_conv("Tanh"),
    _behind_conv("HardSwish"),
    _behind_conv("Add", IMAGE, what="residual"),
    _behind_conv("BatchNormalization", W((20,)), W((20,)), W((20,)), [0.5 + n / 20 for n in range(20)]),
]

# What the host finishes with the output, and the integers' own operators.
ENDS = [
    *[_one(operator, "vector", VECTOR, axis=-1) for operator in ("Softmax", "LogSoftmax", "ArgMax", "ArgMin")],
    *[
        Graph(
            operator,
            what,
            (
                Step("QuantizeLinear", (IMAGE, *first), {}),
                Step("DequantizeLinear", (Node(0), *first), {}),
                Step("QuantizeLinear", (Node(1), *second), {}),
                Step("DequantizeLinear", (Node(2), *second), {}),
            ),
        )
        for operator in ("QuantizeLinear", "DequantizeLinear")
        for what, first, second in (("int8", (0.03, np.int8(4)), (0.02, np.int8(-100))),)
    ],
]

# What does not fit the on-chip memories of `tiny` at once: bands of rows, weights in parts.
LARGE = [
    _conv("bands", (8, 8, 3, 3), (1, 8, 90, 120), pads=[1, 1, 1, 1]),
    _one("MaxPool", "bands", (1, 8, 90, 120), kernel_shape=[3, 3], strides=[2, 2]),
    _one("Add", "bands", (1, 8, 90, 120), (1, 8, 90, 120)),
    _one("Tanh", "bands", (1, 8, 140, 140)),
    _one("Gemm", "weights.in.parts", (1, 700), W((300, 700)), W((300,)), transB=1),
]

GRAPHS = (*TABLES, *CHOICES, *TWO_OPERANDS, *PRODUCTS, *POOLS, *MOVES, *INSIDE, *FUSED, *LARGE, *ENDS)
