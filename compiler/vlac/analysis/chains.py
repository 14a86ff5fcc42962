"""Which values are functions of one tensor: chains of operators that work element by element with scalar constants.

A chain becomes one table (`unary`). `find_chains` picks the chains of a float model that quantization leaves
float inside, so that they are rounded once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from vlac.lowering.unary import same_values
from vlac.model.clamps import clamp_bounds
from vlac.model.labels import node_label
from vlac.model.reading import constant, shape_of
from vlac.ops import BY_NAME

__all__ = ["Chain", "find_chains", "is_table"]


@dataclass(frozen=True)
class Chain:
    """Nodes (by name) that compute the value `result` from the value `source` alone."""

    source: str
    result: str
    nodes: tuple[str, ...]


def is_table(node: ir.Node) -> bool:
    """Whether a node is a function of one tensor: of one operand, or of operands that are functions of one."""
    return len(_sources(node.outputs[0])) > 1


def find_chains(model: ir.Model, exclude: Collection[str] = ()) -> list[Chain]:
    """The longest chains of a float model, without the nodes named in `exclude`.

    A chain's inner values have no readers outside. A chain of one node is listed where it has a constant operand,
    which must not be rounded. Relu and Clip at its start are left to the layer before, whose range they narrow.
    """
    chains: list[Chain] = []
    taken: set[ir.Node] = set()
    for node in reversed(list(model.graph)):
        if node in taken or not _is_elementwise(node) or node_label(node) in exclude:
            continue
        best: tuple[ir.Value, list[ir.Node]] | None = None
        for source in _sources(node.outputs[0]):
            nodes = _between(source, node)
            if _is_closed(nodes, source, node, exclude) and (best is None or len(nodes) > len(best[1])):
                best = source, nodes
        if best is not None and (len(best[1]) > 1 or _has_constant_operand(node)):
            taken.update(best[1])
            names = tuple(node_label(n) for n in best[1])
            chains.append(Chain(best[0].name or "", node.outputs[0].name or "", names))
    return chains[::-1]


def _is_elementwise(node: ir.Node) -> bool:
    spec = BY_NAME.get(node.op_type)
    return spec is not None and spec.function is not None and node.domain in ("", "ai.onnx")


def _operands(node: ir.Node) -> list[ir.Value]:
    """Inputs that are no scalar constants (of Clip the first only)."""
    values = node.inputs[:1] if node.op_type == "Clip" else node.inputs
    scalars = [v is None or ((c := constant(v)) is not None and c.size == 1) for v in values]
    return [v for v, scalar in zip(values, scalars, strict=True) if v is not None and not scalar]


def _has_constant_operand(node: ir.Node) -> bool:
    return len(node.inputs) > 1 and len(_operands(node)) == 1 and node.op_type != "Clip"


def _sources(value: ir.Value) -> dict[ir.Value, None]:
    """Every value that `value` is a function of, itself included; nearest first."""
    found = {value: None}
    node = value.producer()
    if node is None or not _is_elementwise(node):
        return found
    operands = _operands(node)
    if not operands or not all(constant(v) is None and same_values(shape_of(v), shape_of(value)) for v in operands):
        return found
    common = _sources(operands[0])
    for other in operands[1:]:
        known = _sources(other)
        common = {v: None for v in common if v in known}
    return found | common


def _between(source: ir.Value, last: ir.Node) -> list[ir.Node]:
    """The nodes on the ways from `source` to the result of `last`; none where `last` makes `source`."""
    nodes: dict[ir.Node, None] = {}
    waiting = [last] if last.outputs[0] is not source else []
    while waiting:
        node = waiting.pop()
        nodes[node] = None
        for value in _operands(node):
            producer = value.producer()
            if value is not source and producer is not None and producer not in nodes:
                waiting.append(producer)
    return list(nodes)


def _is_closed(nodes: list[ir.Node], source: ir.Value, last: ir.Node, exclude: Collection[str]) -> bool:
    inside = set(nodes)
    if not inside or any(node_label(n) in exclude for n in nodes):
        return False
    inner = [n.outputs[0] for n in nodes if n is not last]
    if any(v.is_graph_output() or not set(v.consumers()) <= inside for v in inner):
        return False
    first = [n for n in nodes if source in n.inputs]
    return not all(clamp_bounds(n) is not None for n in first)
