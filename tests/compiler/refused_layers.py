"""Refused layers with weights: Conv, ConvTranspose, Gemm and MatMul.

Every entry breaks the rule it names and none of its operator that come before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from refusal_models import Case, Model, cases, limit, one

__all__ = ["LAYERS"]


def ones(*shape: int) -> NDArray[np.float32]:
    """A constant."""
    return np.ones(shape, np.float32)


def conv(shape: tuple[int, ...] = (1, 1, 8, 8), kernel: tuple[int, ...] = (1, 1), **attributes: object) -> Model:
    """A convolution to one channel."""
    return one("Conv", shape, ones(1, shape[1], *kernel), **attributes)


CONV = [
    Case("Conv", "is_two_dimensional", conv((2, 1, 8, 8)), "input shape [2, 1, 8, 8]"),
    Case("Conv", "is_two_dimensional", conv((1, 4, 5, 6, 7), (1, 1, 1)), "input shape [1, 4, 5, 6, 7]"),
    Case("Conv", "is_two_dimensional", one("Conv", (1, 4, 8), (4, 4, 3)), "input shape [1, 4, 8]"),
    Case("Conv", "weights_are_constant", one("Conv", (1, 4, 8, 8), (4, 4, 3, 3)), "computed weights 'b'"),
    Case(
        "Conv",
        "channels_match",
        one("Conv", (1, 4, 8, 8), ones(8, 3, 3, 3)),
        "4 input and 8 output channels, 1 groups of 3",
    ),
    Case(
        "Conv",
        "channels_match",
        one("Conv", (1, 4, 8, 8), ones(3, 2, 1, 1), group=2),
        "4 input and 3 output channels, 2 groups of 2",
    ),
    limit(
        "Conv",
        "kernel_fits",
        lambda n: conv((1, 1, 120, 9), (n, 1)),
        114,
        113,
        "kernel 114x1, stride 1x1, dilation 1x1",
    ),
    limit(
        "Conv",
        "kernel_fits",
        lambda n: conv((1, 1, 9, 300), strides=[1, n]),
        129,
        128,
        "kernel 1x1, stride 1x129, dilation 1x1",
    ),
    limit(
        "Conv",
        "kernel_fits",
        lambda n: conv((1, 1, 9, 300), (1, 2), dilations=[1, n]),
        113,
        112,
        "kernel 1x2, stride 1x1, dilation 1x113",
    ),
    limit("Conv", "size_fits", lambda n: conv((1, 1, n, 3)), 2048, 2047, "2048x3 with padding 0"),
    limit("Conv", "size_fits", lambda n: conv((1, 1, 3, n)), 16384, 16383, "3x16384 with padding 0"),
    limit("Conv", "size_fits", lambda n: conv((1, 1, 2040, 3), pads=[n, 0, 0, 0]), 8, 7, "2048x3 with padding 8"),
    limit("Conv", "size_fits", lambda n: conv((1, 1, 3, 16380), pads=[0, 0, 0, n]), 4, 3, "3x16384 with padding 4"),
    limit("Conv", "size_fits", lambda n: conv(pads=[0, 0, n, 0]), 256, 255, "264x8 with padding 256"),
    limit(
        "Conv",
        "one_out_block_fits",
        lambda n: conv((1, n, 2, 2)),
        131073,
        131072,
        "8193 words (131073 input channels, kernel 1x1)",
    ),
]


def transposed(shape: tuple[int, ...] = (1, 1, 8, 8), kernel: tuple[int, int] = (1, 1), **attributes: object) -> Model:
    """A transposed convolution to one channel."""
    return one("ConvTranspose", shape, ones(shape[1], 1, *kernel), **attributes)


CONV_TRANSPOSE = [
    Case(
        "ConvTranspose",
        "is_two_dimensional",
        transposed((2, 1, 5, 6)),
        "input shape [2, 1, 5, 6], output shape [2, 1, 5, 6]",
    ),
    limit(
        "ConvTranspose",
        "is_two_dimensional",
        lambda n: transposed((1, 1, n, 2), pads=[1, 0, 0, 0]),
        2048,
        2047,
        "input shape [1, 1, 2048, 2], output shape [1, 1, 2047, 2]",
    ),
    limit(
        "ConvTranspose",
        "is_two_dimensional",
        lambda n: transposed((1, 1, 1024, 2), (n, 1), strides=[2, 1]),
        2,
        1,
        "input shape [1, 1, 1024, 2], output shape [1, 1, 2048, 2]",
    ),
    limit(
        "ConvTranspose",
        "is_two_dimensional",
        lambda n: transposed((1, 1, 2, n)),
        16384,
        16383,
        "input shape [1, 1, 2, 16384], output shape [1, 1, 2, 16384]",
    ),
    Case(
        "ConvTranspose",
        "weights_are_constant",
        one("ConvTranspose", (1, 4, 5, 5), (4, 3, 3, 3)),
        "computed weights 'b'",
    ),
    limit(
        "ConvTranspose",
        "phases_fit",
        lambda n: transposed(strides=[n, 1]),
        17,
        16,
        "kernel 1x1, stride 17x1, dilation 1x1, padding 0 and 0",
    ),
    limit(
        "ConvTranspose",
        "phases_fit",
        lambda n: transposed(kernel=(1, n)),
        16,
        15,
        "kernel 1x16, stride 1x1, dilation 1x1, padding 0 and 0",
    ),
    limit(
        "ConvTranspose",
        "phases_fit",
        lambda n: transposed(kernel=(2, 1), dilations=[n, 1]),
        32,
        31,
        "kernel 2x1, stride 1x1, dilation 32x1, padding 0 and 0",
    ),
    limit(
        "ConvTranspose",
        "phases_fit",  # 9 steps of 29 less the padding given: 256 and 255 rows
        lambda n: transposed(kernel=(10, 1), dilations=[29, 1], pads=[n, 0, 0, 0]),
        5,
        6,
        "kernel 10x1, stride 1x1, dilation 29x1, padding 5 and 0",
    ),
    limit(
        "ConvTranspose",
        "one_out_block_fits",
        lambda n: transposed((1, n, 2, 2), (2, 1)),
        65537,
        65536,
        "8194 words (65537 input channels, kernel 2x1)",
    ),
]

PRODUCTS = [
    Case("Gemm", "b_is_constant", one("Gemm", (2, 8), (8, 4)), "computed B 'b'"),
    Case("Gemm", "b_is_constant", one("Gemm", (2, 8), ones(8, 4), (4,)), "computed C 'c'"),
    Case("Gemm", "b_is_constant", one("Gemm", (2, 8), (8, 4), (4,)), "computed B 'b' and computed C 'c'"),
    *(  # in a float model it becomes an Add
        limit(
            "Gemm",
            "c_is_per_column",
            lambda shape: one("Gemm", (5, 8), ones(8, 4), ones(*shape), quantized=True),
            broken,
            kept,
            f"C of shape {list(broken)}",
        )
        for broken, kept in (((5, 4), (1, 4)), ((5, 1), (4,)))
    ),
    limit("Gemm", "alpha_is_positive", lambda a: one("Gemm", (2, 8), ones(8, 4), alpha=a), 0.0, 0.01, "alpha 0"),
    Case("Gemm", "alpha_is_positive", one("Gemm", (2, 8), ones(8, 4), alpha=-1.5), "alpha -1.5"),
    *cases(
        ("Gemm", "MatMul"),
        lambda op: [
            limit(op, "weights_fit", lambda k: one(op, (1, k), ones(k, 1)), 65521, 65520, "4096 words (K = 65521)")
        ],
    ),
    limit(
        "Gemm",
        "weights_fit",
        lambda k: one("Gemm", (1, k), ones(1, k), transB=1),
        65521,
        65520,
        "4096 words (K = 65521)",
    ),
    limit("MatMul", "weights_fit", lambda k: one("MatMul", (1, k), ones(k)), 65521, 65520, "4096 words (K = 65521)"),
    Case("MatMul", "b_is_a_constant_matrix", one("MatMul", (2, 8), (8, 4)), "computed 'b' of shape [8, 4]"),
    limit(
        "MatMul",
        "b_is_a_constant_matrix",
        lambda shape: one("MatMul", (9,), ones(*shape)),
        (2, 9, 4),
        (9, 4),
        "constant 'c0' of shape [2, 9, 4]",
    ),
    Case(
        "MatMul",
        "b_is_a_constant_matrix",
        one("MatMul", (2, 3, 9), ones(2, 9, 4), quantized=True),
        "constant 'dequantizelinear3' of shape [2, 9, 4]",
    ),
]

LAYERS = [*CONV, *CONV_TRANSPOSE, *PRODUCTS]
