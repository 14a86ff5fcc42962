"""LayerNormalization over the last axis: moments of each pixel, a reciprocal root, one scaling."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.lowering.norms import norm_spec
from vlac.lowering.spec import RuleResult

__all__ = ["SPEC"]


def one_result(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Only its first result may be read."""
    read = [v.name for v in node.outputs[1:] if v.consumers() or v.is_graph_output()]
    return RuleResult(not read, " and ".join(f"'{name}'" for name in read))


SPEC = norm_spec("LayerNormalization", centred=True, more=(one_result,))
