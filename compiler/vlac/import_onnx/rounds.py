"""ONNX's Loop and Scan as one round of theirs, an input and an output for what they carry, and how often it runs.

matches: the model's only Loop, with a constant count and a condition that is always true; or its only Scan, forwards
over constants of two axes. What it carries begins as inputs of the model and ends as outputs of it; nothing else is
made of its results. What stands in front of it may be read by it. The body becomes nodes of the model: the count of
rounds and what is carried are then as if the user had said `--repeat`, `--counter` and `--carry`.
Not matched: results collected over the rounds, bodies with bodies of their own; those stay, and are refused as such.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from vlac.import_onnx.source import Source

__all__ = ["Rounds", "one_round"]


@dataclass(frozen=True)
class Rounds:
    """How often a model runs, which input is which output in the next round, and which is the number of the round."""

    count: int
    carry: dict[str, str]
    counter: str | None


def one_round(source: Source) -> tuple[Source, Rounds] | None:
    """A model whose loop is one round of it; None where it has none that is understood. `source` stays as it is."""
    graph = source.light.graph
    loops = [n for n in graph.node if n.op_type in ("Loop", "Scan")]
    if len(loops) != 1:
        return None
    node = loops[0]
    body = next(a.g for a in node.attribute if a.name == "body")
    constants = {t.name: t for t in graph.initializer}
    found = _of_loop(source, node, body) if node.op_type == "Loop" else _of_scan(source, node, body)
    inputs = {v.name for v in graph.input} - constants.keys()
    outputs = [v.name for v in graph.output]
    read = {name for n in graph.node for name in n.input}
    if found is None or found.count < 2 or any(a.type in (a.GRAPH, a.GRAPHS) for n in body.node for a in n.attribute):
        return None
    begins, ends = found.begins, found.ends
    if not set(begins) <= inputs or len(set(begins)) < len(begins) or not set(ends) <= set(outputs) - read:
        return None
    proto = onnx.ModelProto()
    proto.CopyFrom(source.light)
    _inline(proto.graph, node, body, found)
    rounds = Rounds(found.count, dict(zip(begins, ends, strict=True)), found.counter)
    return Source(proto, source.large), rounds


@dataclass(frozen=True)
class _Body:
    """A body's inputs and results, and the values of the model in their place.

    `states` are the body's names of what is carried, in and out; `rows` its inputs that are rows of constants.
    """

    count: int
    counter: str
    number: str  # the body's name of the number of the round, "" where it has none
    condition: str
    begins: list[str]
    ends: list[str]
    states: list[tuple[str, str]]
    rows: list[tuple[str, str]]


def _of_loop(source: Source, node: onnx.NodeProto, body: onnx.GraphProto) -> _Body | None:
    count, going = (_constant(source, node.input[i]) for i in (0, 1))
    number, condition, *states = (v.name for v in body.input)
    result, *results = (v.name for v in body.output)
    if count is None or (node.input[1] and (going is None or not going.all())) or len(results) != len(states):
        return None
    if not _stays_true(body, result, condition):
        return None
    begins, ends = list(node.input[2:]), list(node.output)
    pairs = list(zip(states, results, strict=True))
    return _Body(int(count.reshape(-1)[0]), f"{node.name or 'loop'}.round", number, condition, begins, ends, pairs, [])


def _of_scan(source: Source, node: onnx.NodeProto, body: onnx.GraphProto) -> _Body | None:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    scanned = int(given["num_scan_inputs"])
    kept = len(node.input) - scanned
    tables = [_constant(source, name) for name in node.input[kept:]]
    plain = not any(any(given.get(name, ())) for name in ("scan_input_axes", "scan_input_directions"))
    if not plain or len(node.output) != kept or any(t is None or t.ndim != 2 for t in tables):
        return None
    names = [v.name for v in body.input]
    pairs = list(zip(names[:kept], [v.name for v in body.output], strict=True))
    rows = list(zip(names[kept:], node.input[kept:], strict=True))
    count = next(len(t) for t in tables if t is not None)
    begins, ends = list(node.input[:kept]), list(node.output)
    return _Body(count, f"{node.name or 'scan'}.round", "", "", begins, ends, pairs, rows)


def _constant(source: Source, name: str) -> NDArray[np.generic] | None:
    """The array of an initializer or of a Constant node."""
    if name in source.large:
        return source.large[name]
    for tensor in source.light.graph.initializer:
        if tensor.name == name:
            return np.asarray(numpy_helper.to_array(tensor))
    for node in source.light.graph.node:
        if node.op_type == "Constant" and node.output[0] == name and node.attribute[0].name == "value":
            return np.asarray(numpy_helper.to_array(node.attribute[0].t))
    return None


def _stays_true(body: onnx.GraphProto, result: str, condition: str) -> bool:
    """Whether the condition that a body returns is the one that it is given, or a constant."""
    makers = {name: n for n in body.node for name in n.output}
    while result in makers and makers[result].op_type in ("Identity", "Cast"):
        result = makers[result].input[0]
    fixed = [numpy_helper.to_array(t) for t in body.initializer if t.name == result]
    if result in makers and makers[result].op_type == "Constant" and makers[result].attribute[0].name == "value":
        fixed = [numpy_helper.to_array(makers[result].attribute[0].t)]
    return result == condition or any(bool(a.all()) for a in fixed)


def _inline(graph: onnx.GraphProto, loop: onnx.NodeProto, body: onnx.GraphProto, found: _Body) -> None:
    """Put the body's nodes in the place of the loop."""
    known = {inside: outside for (inside, _), outside in zip(found.states, found.begins, strict=True)}
    known |= {found.number: found.counter} if found.number else {}
    inner = [t.name for t in body.initializer] + [name for n in body.node for name in n.output]
    known |= {name: f"{found.counter}/{name}" for name in inner if name}
    known |= {name: f"{found.counter}/{name}" for name, _ in found.rows}
    graph.input.append(helper.make_tensor_value_info(found.counter, onnx.TensorProto.INT64, []))
    true = f"{found.counter}/true"
    graph.initializer.append(numpy_helper.from_array(np.array(True), true))
    known |= {found.condition: true} if found.condition else {}
    for tensor in body.initializer:
        copy = graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = known[tensor.name]
    nodes = [helper.make_node("Gather", [table, found.counter], [known[row]]) for row, table in found.rows]
    for node in body.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{found.counter}/{node.name}" if node.name else ""
        copy.input[:] = [known.get(name, name) for name in node.input]
        copy.output[:] = [known.get(name, name) for name in node.output]
        nodes.append(copy)
    nodes += [
        helper.make_node("Identity", [known.get(made, made)], [end])
        for (_, made), end in zip(found.states, found.ends, strict=True)
    ]
    at = next(i for i, n in enumerate(graph.node) if n.output[:] == loop.output[:])
    whole = [*graph.node[:at], *nodes, *graph.node[at + 1 :]]
    del graph.node[:]
    graph.node.extend(whole)
