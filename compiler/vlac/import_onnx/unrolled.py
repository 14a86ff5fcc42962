"""Equal steps one behind another as one of them and how often it runs: a sampler that the exporter has unrolled.

matches: all nodes that depend on one input of the model are R equal runs of nodes. One by one their operators and
attributes are the same, and so is what they read, but for the state, which is the input in the first and what the step
before made in the others, and for rows of constants. The last step's state is the model's only output. R is at least
4, and a step has a layer, whose weights are the same in all.
Rows of constants become a table, of which each round takes its own. What does not depend on the state stays in front.
Not matched: steps that differ in more, as those with scalars of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from vlac.import_onnx.names import unique_name
from vlac.import_onnx.rounds import Rounds
from vlac.model.reading import constant, shape_of

__all__ = ["roll_up"]

_LEAST = 4  # steps
_LAYERS = ("MatMul", "Gemm", "Conv")


def roll_up(model: ir.Model) -> Rounds | None:
    """Make the model one step of itself, in place, where it is several; None where it is not."""
    graph = model.graph
    if len(graph.outputs) != 1 or graph.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    for state in graph.inputs:
        nodes = _behind(graph, state)
        for count in range(len(nodes), _LEAST - 1, -1):
            if len(nodes) % count == 0:
                steps = _steps(state, nodes, count, graph.outputs[0])
                if steps is not None:
                    return _take_first(graph, state, steps)
    return None


@dataclass
class _Steps:
    """Steps of as many nodes each, and the constants that differ: node and input of the first, and all rows."""

    nodes: list[list[ir.Node]]
    result: tuple[int, int]  # node and output of a step that are the next state
    rows: dict[tuple[int, int], list[ir.Value]] = field(default_factory=dict)


def _behind(graph: ir.Graph, state: ir.Value) -> list[ir.Node]:
    """The nodes that depend on a value, in order; none where one has a body."""
    moving, found = {state}, []
    for node in graph:
        if any(v in moving for v in node.inputs if v is not None):
            moving.update(node.outputs)
            found.append(node)
    bodies = any(
        a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for n in found for a in n.attributes.values()
    )
    return [] if bodies else found


def _steps(state: ir.Value, nodes: list[ir.Node], count: int, end: ir.Value) -> _Steps | None:
    size = len(nodes) // count
    parts = [nodes[i : i + size] for i in range(0, len(nodes), size)]
    last = end.producer()
    if last is None or last not in parts[-1] or shape_of(end) != shape_of(state) or end.dtype != state.dtype:
        return None
    steps = _Steps(parts, (parts[-1].index(last), end.index() or 0))
    places = [{v: (j, k) for j, node in enumerate(part) for k, v in enumerate(node.outputs)} for part in parts]
    states = [
        state,
        *(part[steps.result[0]].outputs[steps.result[1]] for part in parts[:-1]),
    ]
    shared = False
    for j in range(size):
        row = [part[j] for part in parts]
        if any(not _alike(row[0], other) for other in row[1:]):
            return None
        for k in range(len(row[0].inputs)):
            kind = _input(steps, (j, k), [n.inputs[k] for n in row], places, states)
            if kind is None:
                return None
            shared = shared or (kind == "same" and row[0].op_type in _LAYERS and k == 1)
    used = [v for part in places for v in part]
    inside = set(nodes)
    leaks = [v for v in used if v is not end and (v.is_graph_output() or any(u not in inside for u in v.consumers()))]
    return steps if shared and not leaks and not end.consumers() else None


def _alike(a: ir.Node, b: ir.Node) -> bool:
    same = (a.op_type, a.domain, len(a.inputs), len(a.outputs)) == (
        b.op_type,
        b.domain,
        len(b.inputs),
        len(b.outputs),
    )
    return same and {n: v.value for n, v in a.attributes.items()} == {n: v.value for n, v in b.attributes.items()}


def _input(
    steps: _Steps,
    place: tuple[int, int],
    values: list[ir.Value | None],
    places: list[dict[ir.Value, tuple[int, int]]],
    states: list[ir.Value],
) -> str | None:
    """What an input is to all steps: the state, a value of the step, the same value, or rows of constants."""
    if all(v is s for v, s in zip(values, states, strict=True)):
        return "state"
    inside = [None if v is None else known.get(v) for v, known in zip(values, places, strict=True)]
    if inside[0] is not None:
        return "inside" if len(set(inside)) == 1 else None
    if any(v in known for v in values for known in places) or any(v in states for v in values):
        return None
    if all(v is values[0] for v in values):
        return "same"
    given = [v for v in values if v is not None and v.const_value is not None]
    if len(given) < len(values) or len({(shape_of(v), v.dtype) for v in given}) != 1:
        return None
    first, *others = (v.const_value.numpy() for v in given if v.const_value is not None)
    if all(np.array_equal(first, other) for other in others):  # exporters fold a weight of all steps once for each
        return "same"
    shape = shape_of(given[0])
    if not shape or shape[-1] < 2 or np.prod(shape) != shape[-1] or given[0].dtype != ir.DataType.FLOAT:
        return None
    steps.rows[place] = given
    return "rows"


def _take_first(graph: ir.Graph, state: ir.Value, steps: _Steps) -> Rounds:
    """Let the first step be the model."""
    first, end = steps.nodes[0], graph.outputs[0]
    counter = None
    if steps.rows:
        counter = ir.val(unique_name(graph, "round"), ir.DataType.INT64, ir.Shape([]))
        graph.inputs.append(counter)
        for (j, k), values in steps.rows.items():
            first[j].replace_input_with(k, _row(graph, first[j], counter, values))
    name = end.name
    made = first[steps.result[0]].outputs[steps.result[1]]
    for part in steps.nodes[1:]:
        for node in part:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
    graph.outputs[0] = made
    for node in (n for part in reversed(steps.nodes[1:]) for n in reversed(part)):
        graph.remove(node)
    made.name, made.shape = name, end.shape
    return Rounds(
        len(steps.nodes),
        {state.name or "": name or ""},
        None if counter is None else counter.name,
    )


def _row(graph: ir.Graph, reader: ir.Node, counter: ir.Value, values: list[ir.Value]) -> ir.Value:
    """The row of a table of constants that belongs to the round."""
    arrays = [constant(v) for v in values]
    shape = shape_of(values[0])
    name = unique_name(graph, f"{values[0].name}.rows")
    table = ir.val(
        name,
        const_value=ir.tensor(np.stack([np.reshape(a, -1) for a in arrays if a is not None]), name=name),
    )
    graph.register_initializer(table)
    row = ir.node("Gather", [table, counter], name=unique_name(graph, f"{reader.name}.row"))
    sizes = unique_name(graph, f"{values[0].name}.shape")
    target = ir.val(sizes, const_value=ir.tensor(np.array(shape, np.int64), name=sizes))
    graph.register_initializer(target)
    shaped = ir.node(
        "Reshape",
        [row.outputs[0], target],
        name=unique_name(graph, f"{reader.name}.row.shaped"),
    )
    for node, size in ((row, (int(np.prod(shape)),)), (shaped, shape)):
        value = node.outputs[0]
        value.name, value.dtype, value.shape = (
            unique_name(graph, f"{node.name}.value"),
            ir.DataType.FLOAT,
            ir.Shape(size),
        )
    graph.insert_before(reader, [row, shaped])
    return shaped.outputs[0]
