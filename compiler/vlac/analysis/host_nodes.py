"""Which nodes of a model the host computes in float: functions of its inputs, and what only joins its outputs.

    prefix  element by element functions of one model input (normalization, Clip, Cast of an image), with the moves
            between them, where a layer of the device reads their result. The device then quantizes that result, so
            channels in different units, or values outside a Clip, cost no precision.
            Masks, angles and row numbers too (`NUMBERS`), with everything that they are computed from, where that is
            the model's inputs.
    suffix  functions that only the host has (Softmax, ArgMax, Cast to integers), a Concat behind which nothing but
            the model's outputs follows, what is behind them, and moves between the device and such a Concat: each
            part keeps its own scale.

State that a later run takes is the device's alone: what is made of it, and what makes it.

The same functions find them in a float model, where the quantizer leaves them float, and in a QDQ model.
Not here: what becomes of them (`lowering/host_graph.py`).
"""

from __future__ import annotations

import onnx_ir as ir

from vlac.lowering.host_graph import FINAL, MOVES, NUMBERS, is_convertible, is_of_inputs
from vlac.model.carried import carried_values, shared_values
from vlac.model.labels import node_label
from vlac.model.reading import computed_inputs, constant, dtype_of, is_constant
from vlac.ops import BY_NAME

__all__ = ["host_prefix", "host_suffix", "number_inputs", "prefix_nodes", "suffix_nodes"]

_FLOATS = ("float16", "float32", "float64")
_OF_TWO = ("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean", "PRelu")  # operators that read two tensors
_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


def host_prefix(model: ir.Model) -> set[str]:
    """The names of the nodes in front of the device."""
    return {node_label(n) for n in prefix_nodes(model)}


def host_suffix(model: ir.Model) -> set[str]:
    """The names of the nodes behind the device."""
    return {node_label(n) for n in suffix_nodes(model)}


def number_inputs(model: ir.Model) -> set[str]:
    """The names of the model's inputs that nothing but masks, angles and row numbers are made of."""
    found, makers = set(), _numbers(model)
    for value in model.graph.inputs:
        uses = [(n in makers, i in NUMBERS.get(n.op_type, ())) for n, i in value.uses()]
        if uses and all(any(use) for use in uses) and not value.is_graph_output():
            found.add(value.name or "")
    return found


def _readers(node: ir.Node) -> list[ir.Node]:
    return [user for value in node.outputs for user in value.consumers()]


def _is_move(node: ir.Node) -> bool:
    """Whether a node only moves values; a Cast between float types counts, as the device takes it for nothing."""
    if node.op_type == "Cast":
        return all(dtype_of(v) in _FLOATS for v in (node.inputs[0], node.outputs[0]))
    return node.op_type in MOVES


def _state(model: ir.Model) -> set[ir.Value]:
    """What one run hands to a later one, where it begins and where it ends."""
    return {v for pair in carried_values(model) for v in pair} | set(shared_values(model))


def prefix_nodes(model: ir.Model) -> set[ir.Node]:
    """The nodes in front of the device."""
    state = _state(model)
    roots: dict[ir.Value, frozenset[ir.Value]] = {v: frozenset([v]) for v in model.graph.inputs if v not in state}
    candidates: dict[ir.Node, frozenset[ir.Value]] = {}
    scaling: set[ir.Node] = set()  # candidates that are, or follow, what one scale for all cannot do
    for node in model.graph:
        values = computed_inputs(node)
        if node.op_type in (*_QUANTIZING, *FINAL) or any(v not in roots for v in values) or not is_convertible(node):
            continue
        origin = frozenset[ir.Value]().union(*(roots[v] for v in values))
        if len(origin) > 1 and len(set(values)) > 1 and not _is_move(node):
            continue  # what joins several inputs is the device's
        candidates[node] = origin
        roots |= dict.fromkeys(node.outputs, origin)
        if _scales(node) or any(v.producer() in scaling for v in values):
            scaling.add(node)
    reaching: set[ir.Node] = set()  # candidates in front of the device
    taken: set[ir.Node] = set()
    for node in reversed(candidates):
        readers = _readers(node)
        if any(r in reaching if r in candidates else node in scaling or not _is_function(r) for r in readers):
            reaching.add(node)
        foreign = any(dtype_of(v) != "float32" for v in candidates[node])  # the device cannot read such an input
        useful = any(r in taken for r in readers) if _is_move(node) else node in reaching
        if any(r not in candidates and _is_of_one_tensor(r) for r in readers):
            reaching.discard(node)
            useful = False
        if foreign or useful:
            taken.add(node)
    for node in candidates:  # nothing behind what was left to the device
        if any(v.producer() in candidates and v.producer() not in taken for v in computed_inputs(node)):
            taken.discard(node)
    return taken | _numbers(model)


def _numbers(model: ir.Model) -> set[ir.Node]:
    """What makes masks, angles and row numbers of the model's inputs."""
    found: set[ir.Node] = set()
    for reader in model.graph:
        operands = [reader.inputs[i] for i in NUMBERS.get(reader.op_type, ()) if i < len(reader.inputs)]
        waiting = [v for v in operands if is_of_inputs(v)]
        while waiting:
            value = waiting.pop()
            node = None if value is None or is_constant(value) else value.producer()
            if node is not None and node not in found:
                found.add(node)
                waiting += node.inputs
    return found


def _scales(node: ir.Node) -> bool:
    """Whether quantizing what a node reads, not what it makes, would lose: constants per channel, and bounds.

    Other functions in front of one that only the device has are left to it: together they are one table.
    """
    arrays = [constant(v) for v in node.inputs if is_constant(v)] if not _is_move(node) else []
    return any(a is not None and a.size > 1 for a in arrays) or node.op_type in ("Clip", "Max", "Min", "Relu")


def _is_function(node: ir.Node) -> bool:
    """Whether the device has a node for a function of each element, which it joins with others."""
    spec = BY_NAME.get(node.op_type)
    return spec is not None and spec.function is not None


def _is_of_one_tensor(node: ir.Node) -> bool:
    """Whether the operands of a node must be functions of one tensor, so that none of them may come from elsewhere."""
    return len(set(computed_inputs(node))) > 1 and _is_function(node) and node.op_type not in _OF_TWO


def suffix_nodes(model: ir.Model) -> set[ir.Node]:
    """The nodes behind the device."""
    nodes = list(model.graph)
    state = _state(model)
    tail: set[ir.Node] = set()  # nothing but such nodes and outputs follow
    quantized: set[ir.Node] = set()  # a QuantizeLinear follows
    for node in reversed(nodes):
        readers = _readers(node)
        if any(r.op_type == "QuantizeLinear" or r in quantized for r in readers):
            quantized.add(node)
        if not state.isdisjoint(node.outputs) or (len(set(computed_inputs(node))) > 1 and node.op_type != "Concat"):
            continue
        if node.op_type != "Conv" and is_convertible(node) and all(r in tail for r in readers):
            tail.add(node)
    taken: set[ir.Node] = set()
    for node in nodes:
        joins = node.op_type == "Concat" and node not in quantized and any(map(_is_computed, node.inputs))
        if node in tail and (_is_final(node) or joins or any(v.producer() in taken for v in computed_inputs(node))):
            taken.add(node)
    joined = {n for n in taken if n.op_type == "Concat"}
    for node in reversed(nodes):
        readers = _readers(node)
        if node in tail and _is_move(node) and readers and all(r in joined for r in readers):
            joined.add(node)
    return taken | joined


def _is_final(node: ir.Node) -> bool:
    return node.op_type in FINAL or (node.op_type == "Cast" and not _is_move(node))


def _is_computed(value: ir.Value | None) -> bool:
    """Whether an operator that does more than move values made it."""
    while value is not None and not is_constant(value):
        node = value.producer()
        if node is None:
            return False
        if not _is_move(node):
            return node.op_type not in _QUANTIZING or _is_computed(node.inputs[0])
        value = node.inputs[0]
    return False
