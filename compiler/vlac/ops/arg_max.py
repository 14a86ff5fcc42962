"""ArgMax: at the end of a model the host's; of a router, whose number chooses rows of a table, REDUCE."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from vla_isa.generated.codes import ReduceFunction
from vla_isa.hardware import HardwareConfig
from vlac.device.reduce import ReduceOp
from vlac.ir.operation import Home, Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.final import final, is_final
from vlac.lowering.spec import RuleResult
from vlac.model.labels import node_label
from vlac.model.reading import attribute, is_lookup, shape_of

__all__ = ["SPEC"]


def is_final_or_chooses(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Nothing but moves, element by element functions with constants, Concat and ArgMax may follow, up to the model's
    outputs; or only Gather of rows of constant tables, or of experts' weights, by the first of the largest along the
    last axis.
    """
    rank, result = len(shape_of(node.inputs[0])), node.outputs[0]
    last = attribute(node, "axis", 0) % rank == rank - 1 and not attribute(node, "select_last_index", 0)
    readers = result.consumers()
    rows = bool(readers) and all(is_lookup(r) and r.inputs[1] is result for r in readers)
    if last and rows and not result.is_graph_output():
        return RuleResult(True, "")
    return is_final(node, hw)


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x, name = low.operand(node, 0), node.outputs[0].name or "?"
    items = Tensor(f"{name}:items", name, (x.w, 2), 1.0, 0, home=Home.ITEMS)
    low.graph.insert(ReduceOp(node_label(node), node.op_type, [x], items, ReduceFunction.ARGMAX))
    low.items[node.outputs[0]] = items


_FINAL = final("ArgMax")
SPEC = replace(
    _FINAL,
    summary=f"{_FINAL.summary} In front of a Gather of rows of a constant table (a router): REDUCE.",
    rules=(is_final_or_chooses,),
    lower=_lower,
)
