"""MaxPool: the POOL instruction on the integers themselves; a change of scale behind it is a table."""

from __future__ import annotations

import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.pooling import WINDOW_RULES, Axis, by_phases, lower_max, max_pool
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.labels import node_label
from vlac.model.reading import shape_of

__all__ = ["SPEC"]


def has_one_result(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The second output (indices) must be unused."""
    indices = node.outputs[1] if len(node.outputs) > 1 else None
    used = indices is not None and (bool(indices.consumers()) or indices.is_graph_output())
    return RuleResult(not used, f"indices '{indices.name if indices is not None else ''}' used")


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x = low.moved_operand(node)

    def plain(source: Tensor, out: Tensor, rows: Axis, columns: Axis) -> None:
        low.graph.insert(max_pool("MaxPool", node_label(node), source, out, rows, columns))

    lower_max(low, node, x, shape_of(node.outputs[0]), lambda out: by_phases(low, node, x, out, plain))


SPEC = OpSpec(
    "MaxPool",
    "POOL on the integers; a table behind it where the scale changes; dilation by picking rows and pixels with COPY.",
    rules=(*WINDOW_RULES, has_one_result),
    lower=_lower,
    keeps_scale=True,
)
