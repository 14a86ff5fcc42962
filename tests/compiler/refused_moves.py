"""Refused operators that move values, and those that belong at the end of a model.

Every entry breaks the rule it names and none of its operator that come before it.
"""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder
from numpy.typing import NDArray
from onnx import TensorProto
from refusal_models import Case, Computed, Model, cases, having, limit, one

from vlac.ops import BY_NAME

__all__ = ["MOVES"]


def numbers(*values: int) -> NDArray[np.int64]:
    """Constant integers."""
    return np.array(values, np.int64)


def _computed_mode() -> onnx.ModelProto:
    """A Dropout whose training_mode follows from a model input."""
    g = GraphBuilder("mode")
    mode = g.node("Cast", [g.input("mode", ())], to=TensorProto.BOOL)
    return g.model(g.node("Dropout", [g.input("x", (1, 8)), g.constant(np.float32(0.5)), mode]))


DROPOUT = [
    limit(
        "Dropout",
        "is_inference",
        lambda training: one("Dropout", (1, 8), np.array(0.5, np.float32), np.array(training)),
        True,
        False,
        "a true training_mode",
    ),
    Case("Dropout", "is_inference", _computed_mode, "a computed training_mode"),
]

_MOVED = "arguments_are_constant"


def resized(sizes: tuple[int, ...], shape: tuple[int, ...], **attributes: object) -> Model:
    """A Resize to rows and pixels `sizes`."""
    return one("Resize", shape, None, None, numbers(*sizes), axes=[2, 3], **attributes)


def _scaled(factor: float) -> Model:
    scales = np.array([1, 1, factor, factor], np.float32)
    return one("Resize", (1, 20, 4, 6), None, scales, coordinate_transformation_mode="align_corners")


def _padded(*pads: int) -> Model:
    return one("Pad", (1, 4, 6, 6), numbers(*pads))


def _far_below() -> onnx.ModelProto:
    """A MaxPool with windows that lie in a Pad's -1e9 only."""
    g = GraphBuilder("never")
    x = g.node(
        "Pad", [g.input("x", (1, 4, 6, 6)), g.constant(numbers(0, 0, 3, 0, 0, 0, 0, 0)), g.constant(np.float32(-1e9))]
    )
    return g.model(g.node("MaxPool", [x], kernel_shape=[3, 3]))


MOVED = [
    Case("Expand", _MOVED, one("Expand", (1, 4), Computed((2,)), out=(3, 4)), "computed input 1 'cast0'"),
    Case(
        "Gather",
        "indices_are_known",
        one("Gather", (1, 8), Computed((2,)), axis=1),
        "computed input 1 'cast0' of computed data [1, 8]",
    ),
    Case(
        "Gather",
        "indices_are_known",
        one("Gather", np.ones((3, 4), np.float32), Computed((2,)), axis=1),
        "computed input 1 'cast0' of constant data [3, 4]",
    ),
    Case("GatherND", _MOVED, one("GatherND", (1, 8), Computed((1, 2))), "computed input 1 'cast0'"),
    Case("Pad", _MOVED, one("Pad", (1, 4), Computed((4,)), out=(1, 6)), "computed input 1 'cast0'"),
    Case("Pad", _MOVED, one("Pad", (1, 4), numbers(0, 1, 0, 1), ()), "computed input 2 'c'"),
    Case("Resize", _MOVED, one("Resize", (1, 4, 6, 6), None, (4,), out=(1, 4, 9, 9)), "computed input 2 'c'"),
    Case(
        "Slice",
        _MOVED,
        one("Slice", (1, 8), Computed((2,)), Computed((2,)), out=(1, 4)),
        "computed input 1 'cast0' and computed input 2 'cast1'",
    ),
    Case("Split", _MOVED, one("Split", (1, 8), Computed((1,)), axis=1, out=(1, 8)), "computed input 1 'cast0'"),
    Case("Tile", _MOVED, one("Tile", (1, 4), Computed((2,)), out=(1, 8)), "computed input 1 'cast0'"),
    Case("Pad", "mode_is_known", one("Pad", (1, 4), numbers(0, 1, 0, 1), mode="mirror"), "mode mirror"),
    limit(
        "Pad",
        "only_adds",
        lambda n: _padded(0, 0, n, 0, 0, 0, 0, 0),
        -1,
        0,
        "pads [0, 0, -1, 0, 0, 0, 0, 0]",
    ),
    Case("Pad", "never_is_folded", _far_below, "pads [0, 0, 3, 0, 0, 0, 0, 0] with -1000000000.0"),
    Case(
        "Resize",
        "it_is_copied_repeats_or_is_small",
        resized((11, 9), (1, 20, 6, 8), mode="linear"),
        "mode linear with half_pixel, [1, 20, 6, 8] -> [1, 20, 11, 9]",
    ),
    limit("Resize", "corners_are_whole", _scaled, 0.6, 0.5, "sizes 1, 20, 2.4, 3.6"),
    limit(
        "Resize",
        "it_is_copied_repeats_or_is_small",
        lambda n: resized((16, n), (1, 4, 8, 8), mode="cubic"),
        17,
        16,
        "mode cubic with half_pixel, [1, 4, 8, 8] -> [1, 4, 16, 17]",
    ),
    limit(
        "Resize",
        "it_is_copied_repeats_or_is_small",
        lambda n: resized((6 * n, 8 * n), (1, 20, 6, 8), mode="linear"),
        8,
        5,
        "mode linear with half_pixel, [1, 20, 6, 8] -> [1, 20, 48, 64]",
    ),
]


def _in_the_middle(op: str) -> list[Case]:
    """Such a function in front of a layer."""

    def build() -> onnx.ModelProto:
        g = GraphBuilder("middle")
        y = g.node(op, [g.input("x", (1, 8))], axis=1)
        y = g.node("Cast", [y], to=TensorProto.FLOAT) if op.startswith("Arg") else y
        size = 1 if op.startswith("Arg") else 8
        return g.model(g.node("Gemm", [y, g.constant(np.ones((size, 3), np.float32))]))

    found = f"Gemm 'gemm{2 if op.startswith('Arg') else 1}' behind it"
    rule = next(r.__name__ for r in BY_NAME[op].rules if r.__name__.startswith("is_final"))
    return [Case(op, rule, build, found, kept=one(op, (1, 8), axis=1))]


FINAL = tuple(op for rule in ("is_final", "is_final_or_chooses", "is_final_or_of_gates") for op in having(rule))
MOVES = [*DROPOUT, *MOVED, *cases(FINAL, _in_the_middle)]
