"""Refused pools, reductions and normalizations.

Every entry breaks the rule it names and none of its operator that come before it.
"""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder
from numpy.typing import NDArray
from onnx import helper
from refusal_models import Case, Computed, Model, cases, limit, one

__all__ = ["POOLS_AND_SUMS"]

REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceSum")
POOLS = ("AveragePool", "MaxPool")


def axes(*values: int) -> NDArray[np.int64]:
    """The axes of a reduction."""
    return np.array(values, np.int64)


def pool(op: str, shape: tuple[int, ...], kernel: tuple[int, ...] = (1, 1), **attributes: object) -> Model:
    """A pool of float values."""
    return one(op, shape, kernel_shape=list(kernel), **attributes)


def _images(op: str) -> list[Case]:
    """No image, or too large a one."""
    window = {"kernel_shape": [1, 1]} if op in POOLS else {}
    flat = {"kernel_shape": [1]} if op in POOLS else {}
    return [
        Case(op, "is_image", one(op, (2, 1, 6, 6), **window), "input shape [2, 1, 6, 6]"),
        Case(op, "is_image", one(op, (1, 4, 6), quantized=True, **flat), "input shape [1, 4, 6]"),
        limit(op, "is_image", lambda n: one(op, (1, 1, n, 3), **window), 2048, 2047, "input shape [1, 1, 2048, 3]"),
        limit(op, "is_image", lambda n: one(op, (1, 1, 3, n), **window), 16384, 16383, "input shape [1, 1, 3, 16384]"),
    ]


def _windows(op: str) -> list[Case]:
    """Windows that are too large, and windows beside the input."""
    return [
        limit(
            op,
            "window_fits",
            lambda n: pool(op, (1, 1, 40, 9), (2, 2), strides=[n, 1]),
            16,
            15,
            "kernel 2x2, stride 16x1, padding [0, 0, 0, 0]",
        ),
        limit(
            op,
            "window_fits",
            lambda n: pool(op, (1, 1, 2047, 1), (n, 1), pads=[1, 0, 0, 0]),
            2048,
            2047,
            "kernel 2048x1, stride 1x1, padding [1, 0, 0, 0]",
        ),
        limit(
            op,
            "window_fits",
            lambda n: pool(op, (1, 1, 3, 300), (1, 300), pads=[0, n, 0, 0]),
            256,
            255,
            "kernel 1x300, stride 1x1, padding [0, 256, 0, 0]",
        ),
        limit(
            op,
            "windows_touch_the_input",
            lambda n: pool(op, (1, 1, 6, n), (1, 2), dilations=[1, 5], pads=[0, 2, 0, 2]),
            4,
            5,
            "2 taps from -1 in steps of 5 along axis 3 of 4 elements",
        ),
        limit(
            op,
            "windows_touch_the_input",
            lambda n: pool(op, (1, 1, 3, 3), (2, 1), strides=[3, 1], pads=[n, 0, 1, 0]),
            2,
            1,
            "2 taps from -2 in steps of 1 along axis 2 of 3 elements",
        ),
        limit(
            op,
            "windows_touch_the_input",
            lambda n: pool(op, (1, 1, 11, 3), (4, 1), strides=[3, 1], pads=[1, 0, n, 0]),
            4,
            3,
            "4 taps from 11 in steps of 1 along axis 2 of 11 elements",
        ),
    ]


def _indices(output: bool) -> Model:
    """A MaxPool whose second result is an output of the model, or read by a Cast."""

    def build() -> onnx.ModelProto:
        g = GraphBuilder("indices")
        y = g.node("MaxPool", [g.input("x", (1, 4, 6, 6))], kernel_shape=[2, 2])
        g.nodes[-1].output.append("where")
        g.types["where"] = onnx.TensorProto.INT64
        g.nodes.append(helper.make_node("Cast", ["where"], ["other"], to=onnx.TensorProto.FLOAT))
        return g.model(y, "where" if output else "other")

    return build


POOLED = [
    *cases((*POOLS, "GlobalAveragePool", "GlobalMaxPool"), _images),
    *cases(POOLS, _windows),
    Case(
        "MaxPool",
        "has_one_result",
        _indices(output=False),
        "indices 'where' used",
        kept=one("MaxPool", (1, 4, 6, 6), kernel_shape=[2, 2], more=("unused",)),
    ),
    Case("MaxPool", "has_one_result", _indices(output=True), "indices 'where' used"),
]


def reduced(op: str, shape: tuple[int, ...], *over: int) -> Model:
    """A reduction without the reduced axes."""
    return one(op, shape, axes(*over), keepdims=0)


def _reductions(op: str) -> list[Case]:
    return [
        Case(
            op,
            "axes_are_constant",
            one(op, (1, 4, 6), Computed((1,)), out=(1, 1, 6)),
            "computed axes 'cast0'",
            kept=reduced(op, (1, 4, 6), 1),
        ),
        Case(op, "is_one_tensor", one(op, ()), "input shape []", kept=one(op, (1,))),
        limit(op, "is_one_tensor", lambda n: reduced(op, (1, 1, n, 2), 2), 2048, 2047, "input shape [1, 1, 2048, 2]"),
        limit(op, "is_one_tensor", lambda n: reduced(op, (n, 2), 0), 16384, 16383, "input shape [16384, 2]"),
        limit(
            op,
            "it_can_be_arranged",
            lambda shape: reduced(op, shape, 2),
            (32, 64, 4, 2),
            (23, 89, 4, 2),
            "4 values, 2048 results",
        ),
        limit(
            op,
            "it_can_be_arranged",
            lambda shape: reduced(op, shape, 1, 2),
            (2, 128, 128),
            (2, 127, 129),
            "16384 values, 2 results",
        ),
    ]


def _sums(op: str) -> list[Case]:
    return [
        limit(op, "one_out_block_fits", lambda n: reduced(op, (2, n), 1), 65521, 65520, "4096 words"),
        limit(op, "one_out_block_fits", lambda n: reduced(op, (1, 17, 32, n), 1, 2, 3), 64, 63, "4096 words"),
        limit(op, "one_out_block_fits", lambda n: reduced(op, (n, 17), 0, 1), 2048, 2047, "4096 words"),
    ]


REDUCED = [*cases(REDUCTIONS, _reductions), *cases(("ReduceMean", "ReduceSum"), _sums)]

_STATISTICS = [np.ones(4, np.float32) for _ in range(4)]
_PAIR = _STATISTICS[:2]
NORMALIZED = [
    Case(
        "BatchNormalization",
        "is_folded",
        one("BatchNormalization", (1, 4, 6, 6), *_STATISTICS[:2], (4,), (4,)),
        "computed 'd', 'e'",
    ),
    Case(
        "BatchNormalization",
        "is_folded",
        one("BatchNormalization", (1, 4, 6, 6), *_STATISTICS, training_mode=1, more=("mean", "variance")),
        "training_mode 1",
    ),
    Case(
        "BatchNormalization",
        "is_folded",
        one("BatchNormalization", (1, 4, 6, 6), *_STATISTICS, quantized=True),
        "a quantized model; fold it before quantizing",
    ),
    Case("LRN", "is_split", one("LRN", (2, 20, 6, 6), size=5), "shape [2, 20, 6, 6]"),
    Case("LRN", "is_split", one("LRN", (1, 20, 6, 6), size=5, quantized=True), "a quantized model"),
    Case("InstanceNormalization", "is_split", one("InstanceNormalization", (1, 4, 6), (4,), _PAIR[1]), "computed 'b'"),
    Case(
        "GroupNormalization",
        "is_split",
        one("GroupNormalization", (2, 4, 6, 6), *_PAIR, out=(2, 4, 6, 6), num_groups=2),
        "shape [2, 4, 6, 6]",
    ),
]

POOLS_AND_SUMS = [*POOLED, *REDUCED, *NORMALIZED]
