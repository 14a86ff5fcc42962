"""All values of a tensor in another order, without an instruction: by the host, or where the bytes already lie so.

Each way is a question that changes nothing, and an action. Not here: values that come twice or not at all
(`layout_ops`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlac.device.layout_op import LayoutOp
from vlac.device.view import View
from vlac.ir.graph import Alias, Graph
from vlac.ir.operation import Tensor
from vlac.legalize.compose import composed, is_permutation
from vlac.legalize.match import axis_order

__all__ = ["can_pack_chain", "pack_chain", "reorder"]

I64 = NDArray[np.int64]
Layout = tuple[tuple[int, ...], tuple[int, ...]]  # (view, permutation)


def reorder(graph: Graph, op: LayoutOp, x: Tensor, index: I64) -> bool:
    """Let nothing, the host or a view do what `op` asks for, all values of `x` by `index`; False where none can.

    Where the model returns the result and others read it, the host may do the former's part, and False says that the
    latter's is left.
    """
    out = op.output
    unpacking = _output_layout(graph, out, x, index)
    plain = np.array_equal(index, np.arange(len(index)))
    if _lies_so(x, out, index) and (plain or not graph.is_output(out) or unpacking is not None):
        if not plain and unpacking is not None:
            _unpack(graph, out, x, index, unpacking)
        _drop(graph, op, x, index)
        return True
    packing = _input_layout(graph, op, x, index)
    if packing is not None and graph.is_output(out) and out.consumers:
        _pack(graph, op, x, index, packing)
        return True
    if unpacking is not None:
        _unpack(graph, out, x, index, unpacking)
        if not out.consumers:
            graph.erase(op)
            graph.aliases.append(Alias(out, [x], index))
            return True
        if all(isinstance(reader, LayoutOp) for reader in out.consumers):
            return True  # each is a rearrangement of `x`
    order = None if plain else index
    if _is_view(graph, x, out, order):
        _view(graph, op, x, order)
        return True
    packing = _input_layout(graph, op, x, index)  # not where `x` is an output by now
    if packing is not None:
        _pack(graph, op, x, index, packing)
    return packing is not None


# --- where the bytes lie so -----------------------------------------------------------------------------


def _lies_so(x: Tensor, out: Tensor, index: I64) -> bool:
    """Whether every element is at the same (h, w, c) before and after."""
    same = (x.h, x.w, x.c) == (out.h, out.w, out.c)
    return same and np.array_equal(out.to_hwc(index), x.to_hwc(np.arange(len(index))))


def _drop(graph: Graph, op: LayoutOp, x: Tensor, index: I64) -> None:
    """Let the readers of the result read `x`."""
    out = op.output
    graph.erase(op)
    _renumber(out, index)
    graph.replace(out, x)
    graph.aliases.append(Alias(out, [x], index))


def _renumber(tensor: Tensor, index: I64) -> None:
    """Let what reads `tensor` by element numbers count as the tensor does that takes its place: e is its `index[e]`."""
    for op in tensor.consumers:
        if isinstance(op, View):
            op.order = index if op.order is None else index[op.order]
        elif isinstance(op, LayoutOp):
            bases = np.cumsum([0, *(math.prod(t.shape) for t in op.inputs)])
            for base in {int(b) for b, t in zip(bases, op.inputs, strict=False) if t is tensor}:
                here = (op.index >= base) & (op.index < base + len(index))
                op.index = np.where(here, base + index[np.where(here, op.index - base, 0)], op.index)


def _is_view(graph: Graph, x: Tensor, out: Tensor, order: I64 | None) -> bool:
    """Whether the result is the same bytes as an image or a vector; the host packs and unpacks those in no order."""
    packed = x in graph.inputs and x.is_vector and order is not None
    return x.is_vector != out.is_vector and not packed and not (graph.is_output(out) and order is not None)


def _view(graph: Graph, op: LayoutOp, x: Tensor, order: I64 | None) -> None:
    """Put a view in the place of `op`, or use one that is there."""
    out = op.output
    known = next((v for v in x.consumers if isinstance(v, View) and _alike(v, order, out)), None)
    if known is None:
        graph.replace_op(op, View(op.node, op.op_type, [x], out, order))
    else:
        graph.erase(op)
        graph.replace(out, known.output)


def _alike(view: View, order: I64 | None, out: Tensor) -> bool:
    other = view.output
    same = view.order is order if view.order is None or order is None else np.array_equal(view.order, order)
    return same and other.same_order(out)


# --- by the host ----------------------------------------------------------------------------------------


def can_pack_chain(graph: Graph, op: LayoutOp) -> bool:
    """Whether the host may do all that a chain up to `op` does to a model input."""
    first = op.inputs[0]
    while isinstance(first.producer, (LayoutOp, View)):
        first = first.producer.inputs[0]
    if first not in graph.inputs:  # said before all elements are followed
        return False
    inputs, index, _ = composed(op)
    return (
        len(inputs) == 1 and is_permutation(index, inputs[0]) and _input_layout(graph, op, inputs[0], index) is not None
    )


def pack_chain(graph: Graph, op: LayoutOp) -> None:
    """Let the host pack a model input for a chain up to `op`: what follows moves less then."""
    inputs, index, _ = composed(op)
    layout = _input_layout(graph, op, inputs[0], index)
    assert layout is not None
    _pack(graph, op, inputs[0], index, layout)


def _input_layout(graph: Graph, op: LayoutOp, x: Tensor, index: I64) -> Layout | None:
    """How the host would pack a model input that only this chain reads, in the order of the result."""
    step = op.inputs[0]
    while len(step.consumers) == 1 and not graph.is_output(step) and step is not x and step.producer is not None:
        step = step.producer.inputs[0]
    lone = step is x and len(x.consumers) == 1 and not graph.is_output(x)
    if not lone or x not in graph.inputs or x in graph.input_layouts:
        return None
    return axis_order(op.output.to_hwc(index).reshape(-1))


def _pack(graph: Graph, op: LayoutOp, x: Tensor, index: I64, layout: Layout) -> None:
    """Let the host pack `x` as the result of `op`, which becomes the model input."""
    out = op.output
    graph.erase(op)
    graph.inputs[graph.inputs.index(x)] = out
    graph.input_labels[out] = graph.input_labels.pop(x)
    graph.input_layouts[out] = (x.shape, *layout)
    graph.input_orders[out] = index


def _output_layout(graph: Graph, out: Tensor, x: Tensor, index: I64) -> Layout | None:
    """How the host would unpack the model's output `out` from `x`; None where it is none, or cannot."""
    if not graph.is_output(out):
        return None
    return axis_order(np.argsort(index)[x.to_hwc(np.arange(len(index))).reshape(-1)])


def _unpack(graph: Graph, out: Tensor, x: Tensor, index: I64, layout: Layout) -> None:
    """Let the host unpack the model's output from `x`."""
    graph.outputs = [replace(o, tensor=x, moved=index, layout=layout) if o.tensor is out else o for o in graph.outputs]
