"""Cut off the end of a model that has no fixed shapes: NonMaxSuppression, NonZero, and all that reads what they make.

The machine's programs, the quantizer and the rewrites rely on static shapes; such an end runs on the host as it is,
behind everything else. A node with a fixed shape behind one without belongs to the end, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.convenience import extract

from vlac.errors import Refusal, UnsupportedError, grouped
from vlac.import_onnx.flow import Flow
from vlac.import_onnx.names import name_all
from vlac.model.labels import node_label

__all__ = ["Tail", "split_tail"]


@dataclass(frozen=True)
class Tail:
    """The end of a model as a model of its own.

    Attributes:
        model: the end; its inputs are inputs of the whole model and outputs of its beginning.
        outputs: those of the whole model.
        refusals: why each node is here.
    """

    model: ir.Model
    outputs: tuple[ir.Value, ...]
    refusals: tuple[Refusal, ...]


def split_tail(model: ir.Model) -> tuple[ir.Model, Tail | None]:
    """The model without its end of unknown shapes, and that end; None where all shapes are fixed.

    Raises:
        UnsupportedError: no node is left for the machine.
    """
    if all(_is_fixed(v) for n in model.graph for v in n.outputs):
        return model, None
    name_all(model)
    flow = Flow(model)
    refusals: dict[ir.Node, Refusal] = {}
    for node in model.graph:
        open_results = [v for v in node.outputs if not _is_fixed(v)]
        late = [v for v in flow.reads(node) if v.producer() in refusals]
        if open_results:
            shape = open_results[0].shape
            cause = "its result has no fixed shape, which the machine needs."
            refusals[node] = Refusal(node.op_type, node_label(node), cause, "" if shape is None else str(shape))
        elif late:
            refusals[node] = Refusal(node.op_type, node_label(node), "it lies behind a value without a fixed shape.")
    outputs = tuple(model.graph.outputs)
    behind = [v for v in outputs if v.producer() in refusals]
    read = dict.fromkeys(v for n in refusals for v in flow.reads(n) if v.producer() not in refusals)
    first = dict.fromkeys([v for v in outputs if v not in behind] + [v for v in read if not v.is_graph_input()])
    if not any(flow.is_moving(v) for v in first):
        lines = ["the machine runs fixed shapes only, and no result of the model has one", *grouped(refusals.values())]
        raise UnsupportedError(["\n  ".join(lines)])
    cuts = ((read, behind), (model.graph.inputs, first))
    graphs = [extract(model.graph, list(inputs), list(results)) for inputs, results in cuts]
    about = dict(model.metadata_props)
    tail, head = (ir.Model(g, ir_version=model.ir_version, metadata_props=dict(about)) for g in graphs)
    head.meta.update(model.meta)
    return head, Tail(tail, outputs, tuple(refusals.values()))


def _is_fixed(value: ir.Value) -> bool:
    used = bool(value.name) and (value.is_graph_output() or len(value.uses()) > 0)
    return not used or (value.shape is not None and value.shape.is_static() and value.dtype is not None)
