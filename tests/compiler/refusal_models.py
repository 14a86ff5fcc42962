"""Models of one node that break one rule of its operator: what the tables of refused models are made of.

Not here: the tables (`refused_*.py`) and the test over all of them (`test_refusal_rules`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from qdq_graphs import QdqBuilder

from vlac.ops import OPS

__all__ = ["OPSET", "Case", "Computed", "Model", "cases", "having", "limit", "one"]

OPSET = 24
Model = Callable[[], onnx.ModelProto]


@dataclass(frozen=True)
class Case:
    """A model that breaks `rule` of `operator` and no rule before it, with what the refusal says was found.

    `kept` is the nearest model that keeps the rule, where the rule is a limit.
    """

    operator: str
    rule: str
    broken: Model
    found: str
    kept: Model | None = None

    @property
    def name(self) -> str:
        """The name of the test."""
        return f"{self.operator}-{self.rule}-{self.found}"


@dataclass(frozen=True)
class Computed:
    """An operand that is computed and not float32: a model input of this shape behind a Cast."""

    shape: tuple[int, ...]
    kind: int = TensorProto.INT64


Operand = tuple[int, ...] | NDArray[Any] | Computed | None


def one(
    op: str,
    *operands: Operand,
    out: tuple[int, ...] | None = None,
    quantized: bool = False,
    more: tuple[str, ...] = (),
    **attributes: Any,
) -> Model:
    """A model of one node.

    Args:
        operands: the shape of a float32 model input (called a, b, c by position), a constant, a Computed, or
            None for an input that is left out.
        out: the result's shape, where it follows from computed operands.
        more: names of results behind the first.
        quantized: with QuantizeLinear and DequantizeLinear behind every float32 operand and the result.
    """

    def build() -> onnx.ModelProto:
        g = QdqBuilder("refused")
        inputs = [_operand(g, name, operand, quantized) for name, operand in zip("abcde", operands, strict=False)]
        y = g.node(op, inputs, **attributes)
        g.nodes[-1].output.extend(more)
        if "tensor(float)" not in onnx.defs.get_schema(op, OPSET).outputs[0].types:
            g.types.setdefault(y, TensorProto.BOOL)
        if out is None:
            return g.model(g.qdq(y) if quantized else y, opset=OPSET)
        result = helper.make_tensor_value_info(y, TensorProto.FLOAT, out)
        graph = helper.make_graph(g.nodes, g.name, g.inputs, [result], g.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    return build


def _operand(g: QdqBuilder, name: str, operand: Operand, quantized: bool) -> str:
    if operand is None:
        return ""
    if isinstance(operand, Computed):
        return g.node("Cast", [g.input(name, operand.shape)], to=operand.kind)
    constant = isinstance(operand, np.ndarray)
    value = g.constant(operand) if constant else g.input(name, operand)
    return g.qdq(value) if quantized and (not constant or operand.dtype == np.float32) else value


def having(rule: str) -> tuple[str, ...]:
    """The operators that have a rule."""
    return tuple(spec.name for spec in OPS if rule in [r.__name__ for r in spec.rules])


def limit(operator: str, rule: str, model: Callable[[Any], Model], broken: Any, kept: Any, found: str) -> Case:
    """A case of a limit: `model` of the value `broken` is beyond it, that of `kept` just within."""
    return Case(operator, rule, model(broken), found, model(kept))


def cases(operators: tuple[str, ...], make: Callable[[str], list[Case]]) -> list[Case]:
    """The same cases for each of several operators."""
    return [case for operator in operators for case in make(operator)]
