"""Refused operators that work element by element, and Casts.

Every entry breaks the rule it names and none of its operator that come before it. Rules that many operators share
are entered for all operators that have them.
"""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder
from onnx import TensorProto
from refusal_models import OPSET, Case, Computed, Model, cases, having, limit, one

__all__ = ["ELEMENTWISE"]


def of_shape(op: str, shape: tuple[int, ...]) -> Model:
    """An operator with as many operands of one shape as it needs, float32 where they may be."""
    schema = onnx.defs.get_schema(op, OPSET)
    kinds = ["tensor(float)" in operand.types for operand in schema.inputs]
    return one(op, *(shape if kind else Computed(shape, TensorProto.BOOL) for kind in kinds[: schema.min_input]))


def _too_large(op: str) -> list[Case]:
    return [limit(op, "fits", lambda n: of_shape(op, (1, 1, n, 2)), 2048, 2047, "shape [1, 1, 2048, 2]")]


def _spread(op: str) -> list[Case]:
    return [
        limit(
            op,
            "operands_match",
            lambda shape: one(op, (1, 4, 5, 6), shape),
            broken,
            (4, 1, 1),
            f"[1, 4, 5, 6] and {list(broken)}",
        )
        for broken in ((5, 1), (5, 6), (1, 4, 1, 6))
    ]


def _three(op: str) -> list[Case]:
    operands = [(1, 6)] * 3  # a float model's become two by two
    return [
        Case(
            op,
            "at_most_two",
            one(op, *operands, quantized=True),
            "3 operands",
            kept=one(op, *operands[:2], quantized=True),
        )
    ]


def _double() -> onnx.ModelProto:
    """A Relu of float64."""
    g = GraphBuilder("double")
    y = g.node("Relu", [g.node("Cast", [g.input("x", (1, 8))], to=TensorProto.DOUBLE)])
    g.types[y] = TensorProto.DOUBLE
    return g.model(y)


def _in_between(kind: int) -> Model:
    """A Cast of a layer's result to a type that is no float, read by another node."""

    def build() -> onnx.ModelProto:
        g = GraphBuilder("between")
        cast = g.node("Cast", [g.node("GlobalAveragePool", [g.input("x", (1, 8, 4, 4))])], to=kind)
        table = g.constant(np.ones((5, 3), np.float32))
        if kind == TensorProto.BOOL:
            return g.model(g.node("Where", [cast, g.constant(np.float32(2)), g.constant(np.float32(3))]))
        return g.model(g.node("Gather", [table, cast]))

    return build


_LOGIC = {"And": 2, "Not": 1, "Or": 2}  # how many truth values they take


def _apart(op: str) -> list[Case]:
    """A function of truth values that belong to several tensors."""
    found = {"And": "'cast0' and 'cast1'", "Or": "'cast0' and 'cast1'", "Where": "'cast0' and 'b' and 'c'"}
    return [Case(op, "is_of_one_tensor", of_shape(op, (1, 4)), found.get(op, "'a' and 'b'"))]


def _truth_outside(op: str) -> list[Case]:
    """A truth value that is a model output, and one that becomes a number without a Where."""

    def model(behind: str) -> Model:
        def build() -> onnx.ModelProto:
            g = GraphBuilder("truth")
            x, half = g.input("x", (1, 8)), g.constant(np.float32(0.5))
            operands = [x, half]
            if op in _LOGIC:
                operands = [g.node("Greater", operands)] * _LOGIC[op]
            y = g.node(op, operands)
            g.types[y] = TensorProto.BOOL
            return g.model(g.node(behind, [y], to=TensorProto.FLOAT) if behind else y)

        return build

    number = int(op in _LOGIC)
    return [
        Case(op, "is_read_inside", model(""), f"the model output '{op.lower()}{number}'"),
        Case(op, "is_read_inside", model("Cast"), f"Cast 'cast{number + 1}'"),
    ]


_ZEROS = np.array([1, 0, 2, 0], np.float32)
ELEMENTWISE = [
    *cases(having("fits"), _too_large),
    limit("Exp", "fits", lambda n: of_shape("Exp", (n, 3)), 16384, 16383, "shape [16384, 3]"),
    limit("Exp", "fits", lambda n: of_shape("Exp", (2, n)), 16369, 16368, "shape [2, 16369]"),
    limit("Exp", "fits", lambda n: of_shape("Exp", (1, n)), 262129, 262128, "shape [1, 262129]"),
    *cases(having("operands_match"), _spread),
    Case("Mul", "operands_match", one("Mul", (4, 1), (1, 6)), "[4, 1] and [1, 6]"),
    Case(
        "Mul",
        "operands_match",
        one("Mul", (1, 4, 1, 1), np.ones((1, 4, 3, 3), np.float32)),
        "[1, 4, 1, 1] and [1, 4, 3, 3]",
    ),
    *cases(having("at_most_two"), _three),
    *cases(having("is_of_one_tensor"), _apart),
    *cases(having("is_read_inside"), _truth_outside),
    Case("Clip", "bounds_are_constant", one("Clip", (1, 8), ()), "computed 'b'"),
    Case("Clip", "bounds_are_constant", one("Clip", (1, 8), (), ()), "computed 'b' and 'c'"),
    Case("Div", "divides_by_a_constant", one("Div", (1, 4), (1, 4)), "computed divisor 'b'"),
    Case("Div", "divides_by_a_constant", one("Div", (1, 4), _ZEROS), "constant divisor of shape [4] with 2 zeros"),
    Case(
        "Div",
        "divides_by_a_constant",  # of a float model it becomes a Mul
        one("Div", (1, 4), np.ones(4, np.float32), quantized=True),
        "constant divisor of shape [4] with 0 zeros",
        kept=one("Div", (1, 4), np.ones(4, np.float32)),
    ),
    Case(
        "Pow",
        "one_side_is_scalar",
        one("Pow", (1, 4), (1, 4)),
        "a computed tensor [1, 4] to the power of a computed tensor [1, 4]",
    ),
    Case(
        "Pow",
        "one_side_is_scalar",
        one("Pow", (1, 4), np.ones(4, np.float32)),
        "a computed tensor [1, 4] to the power of a constant tensor [4]",
        kept=one("Pow", (1, 4), np.ones(1, np.float32)),
    ),
    Case("PRelu", "input_is_computed", one("PRelu", np.ones((1, 8), np.float32), (1, 8)), "constant input 'c0'"),
    Case("Cast", "is_between_floats", _in_between(TensorProto.INT32), "FLOAT to INT32"),
    Case("Cast", "is_between_floats", _in_between(TensorProto.BOOL), "FLOAT to BOOL"),
    Case(
        "Cast", "is_at_the_end", _double, "DOUBLE in front of Relu 'relu1'", one("Cast", (1, 8), to=TensorProto.DOUBLE)
    ),
]
