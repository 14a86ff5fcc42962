"""Compute what depends on no input, once, with ONNX Runtime: learned queries, packed weights, tables of positions.

onnxscript's optimizer folds nodes of one output one by one; here are those it leaves: several outputs, subgraphs,
operators its evaluator does not have. Random numbers stay, and what QuantizeLinear and DequantizeLinear made.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.convenience import extract
from onnx_ir.passes.common import RemoveUnusedNodesPass

from vlac.errors import ModelError
from vlac.import_onnx.flow import Flow, is_quantizer
from vlac.model.fed_constants import feed_constants
from vlac.model.onnx_runtime import OnnxRuntimeError, OnnxSession, TimeLimitError

__all__ = ["fold_fixed"]

_LIMIT = 1 << 28  # elements of one constant
_SECONDS = 20.0


def fold_fixed(model: ir.Model) -> bool:
    """Replace computed constants that something reads by initializers; whether there were any.

    What ONNX Runtime cannot compute stays a node.

    Raises:
        ModelError: it takes too long.
    """
    flow = Flow(model)
    nodes = _fixed_nodes(flow)
    inside = set(nodes)
    results = [v for n in nodes for v in n.outputs if _is_read(v, inside)]
    if not results:
        return False
    part = ir.Model(extract(model.graph, [], results), ir_version=model.ir_version)
    given = feed_constants(part)
    try:
        arrays = OnnxSession(part).run(None, given, seconds=_SECONDS)
    except TimeLimitError as e:
        kinds = ", ".join(sorted({node.op_type for node in part.graph}))
        raise ModelError(
            f"computing the model's constants ({kinds}) takes more than {_SECONDS:.0f} s, the limit; is a Loop "
            "endless? Export the model with the constants computed"
        ) from e
    except OnnxRuntimeError:
        return False
    for value, array in zip(results, arrays, strict=True):
        if not hasattr(array, "dtype") or array.size > _LIMIT:  # a sequence or a map
            continue
        constant = ir.Value(name=value.name, const_value=ir.tensor(array))
        constant.dtype, constant.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
        value.name = None  # its node has no readers any more
        model.graph.register_initializer(constant)
        value.replace_all_uses_with(constant)
    RemoveUnusedNodesPass()(model)  # the optimizer would fold one of them, and its result has no name
    return True


def _fixed_nodes(flow: Flow) -> list[ir.Node]:
    """Nodes whose results are the same in every run, without any behind a quantizer."""
    unknown: set[ir.Value] = set()
    found = []
    for node in flow.graph:
        reads = flow.all_reads(node)
        if is_quantizer(node) or any(flow.is_moving(v) for v in node.outputs) or not unknown.isdisjoint(reads):
            unknown.update(node.outputs)
        elif node.op_type != "Constant":
            found.append(node)
    return found


def _is_read(value: ir.Value, inside: set[ir.Node]) -> bool:
    """Whether a node that stays reads the value; one that is an output itself keeps its node."""
    return bool(value.name) and not value.is_graph_output() and any(u not in inside for u in value.consumers())
