"""What an operator is to the compiler: one OpSpec per ONNX operator, in one file per operator.

A spec joins the operator's support rules (their docstrings are shown to the user and printed into
docs/reference/operators.md), how the quantizer treats it, and its lowering to device operations. Shapes
come from ONNX's own inference and the float reference from ONNX's reference evaluator, so neither is
written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = [
    "OpSpec",
    "Rule",
    "RuleResult",
    "attribute",
    "constant",
    "constant_input",
    "input_name",
    "is_constant",
    "pads4",
    "pair",
    "rule_text",
    "shape_of",
]

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class RuleResult:
    """Whether a node keeps a rule, and what was found ("kernel 17x17")."""

    ok: bool
    found: str


Rule = Callable[[ir.Node, HardwareConfig], RuleResult]


@dataclass(frozen=True)
class OpSpec:
    """One ONNX operator.

    Attributes:
        name: ONNX operator name.
        summary: how it runs on the machine, for the operator page.
        rules: support rules; a docstring may name parameters of the hardware config in braces.
        lower: adds device operations for a node of a QDQ model; None for operators that rewriting
            or constant folding always removes.
        quantize: whether post-training quantization puts Q/DQ around it.
        quantize_result: whether that includes its result; if not, what reads it must take it as it is.
        function: for operators that work element by element, the float32 function of a node and its operands;
            tables are computed from it.
        moves: whether it only moves values, so that its results may have the scale of its input.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...] = ()
    lower: Callable[[Lowering, ir.Node], None] | None = None
    quantize: bool = True
    quantize_result: bool = True
    function: Callable[..., F32] | None = None
    moves: bool = False


def rule_text(rule: Rule, hw: HardwareConfig) -> str:
    """A rule's docstring with the hardware config's parameters filled in."""
    text = " ".join((rule.__doc__ or "").split())
    return text.format(**hw.to_dict())


# --- reading nodes ------------------------------------------------------------------------------------


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """An attribute's value, or `default`."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of a constant value (initializer, Constant node, or DequantizeLinear of one), or None."""
    if value is None:
        return None
    if value.const_value is not None:
        return np.asarray(value.const_value.numpy())
    node = value.producer()
    if node is not None and node.op_type == "DequantizeLinear":
        return _dequantized(node)
    return None


def is_constant(value: ir.Value | None) -> bool:
    """Whether `constant` would find an array, without computing it."""
    if value is None or value.const_value is not None:
        return value is not None
    node = value.producer()
    quantized = node is not None and node.op_type == "DequantizeLinear"
    return quantized and all(v is None or v.const_value is not None for v in node.inputs)


def _dequantized(node: ir.Node) -> NDArray[Any] | None:
    parts = [constant(v) for v in node.inputs]
    if parts[0] is None or parts[1] is None:
        return None
    q, scale = parts[0].astype(np.int64), parts[1].astype(np.float32)
    zero = np.int64(0) if len(parts) < 3 or parts[2] is None else parts[2].astype(np.int64)
    if scale.ndim == 1 and q.ndim:
        axis = attribute(node, "axis", 1) % q.ndim
        shape = [-1 if i == axis else 1 for i in range(q.ndim)]
        scale, zero = scale.reshape(shape), np.reshape(zero, shape if np.ndim(zero) else ())
    return ((q - zero).astype(np.float32) * scale).astype(np.float32)


def constant_input(node: ir.Node, index: int) -> NDArray[Any] | None:
    """Input `index` as a constant, or None where it is absent or computed."""
    return constant(node.inputs[index]) if index < len(node.inputs) else None


def input_name(node: ir.Node, index: int) -> str:
    """The name of input `index` in quotes, for messages."""
    value = node.inputs[index]
    return f"'{None if value is None else value.name}'"


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """The static shape of a value."""
    if value is None or value.shape is None:
        return ()
    return tuple(int(d) for d in value.shape)


def pair(values: Sequence[int] | None, default: int) -> tuple[int, int]:
    """A two-element attribute."""
    return (default, default) if not values else (int(values[0]), int(values[1]))


def pads4(
    node: ir.Node, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int] = (1, 1)
) -> tuple[int, int, int, int]:
    """Padding as top, left, bottom, right, with auto_pad worked out."""
    mode = attribute(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        p = attribute(node, "pads", None) or (0, 0, 0, 0)
        return int(p[0]), int(p[1]), int(p[2]), int(p[3])
    if mode == "VALID":
        return 0, 0, 0, 0
    size = shape_of(node.inputs[0])[2:]
    begin, end = [], []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small, large = total // 2, total - total // 2
        begin.append(small if mode == "SAME_UPPER" else large)
        end.append(large if mode == "SAME_UPPER" else small)
    return begin[0], begin[1], end[0], end[1]
