"""What an operator is to the compiler: one OpSpec per ONNX operator, in one file per operator.

A spec joins the operator's support rules (their docstrings are shown to the user and printed into
docs/reference/operators.md), how the quantizer treats it, and its lowering to device operations. Shapes
come from ONNX's own inference and the float reference from ONNX's reference evaluator, so neither is
written twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import TABLE
from vlac.lowering.context import LoweringContext

__all__ = ["F32", "OpSpec", "Rule", "RuleResult", "rule_text"]

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class RuleResult:
    """Whether a node keeps a rule, and what was found ("kernel 17x17").

    `as_table`: it must be a function of one tensor too, which all operators together say (`analysis/chains.py`).
    """

    ok: bool
    found: str
    as_table: bool = False


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
        keeps_scale: whether it only picks or rearranges values, so that its results may have the scale of its input.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...] = ()
    lower: Callable[[LoweringContext, ir.Node], None] | None = None
    quantize: bool = True
    quantize_result: bool = True
    function: Callable[..., F32] | None = None
    keeps_scale: bool = False


_LIMITS = {ins.name: {f.name: f.legal_max for f in ins.value_fields} for ins in TABLE}


def rule_text(rule: Rule, hw: HardwareConfig) -> str:
    """A rule's docstring with the hardware config's parameters and the table's limits (`{CONV[in_h]}`) filled in."""
    text = " ".join((rule.__doc__ or "").split())
    return text.format(**hw.to_dict(), **_LIMITS)
