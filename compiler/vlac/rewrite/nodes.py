"""Put several nodes in the place of one, with the shapes and dtypes that shape inference would give.

Not here: which nodes (the rewrites).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

__all__ = ["Nodes", "initializer"]


def initializer(graph: ir.Graph, name: str, array: NDArray[Any] | np.float32) -> ir.Value:
    """A new constant of a graph, with a number behind `name` where that is taken."""
    unique, count = name, 0
    while unique in graph.initializers:
        count += 1
        unique = f"{name}.{count}"
    value = ir.Value(name=unique, const_value=ir.tensor(np.asarray(array, order="C")))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    graph.register_initializer(value)
    return value


class Nodes:
    """The nodes that replace `node`, named after it; `replace` puts them into the graph."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self._graph, self._node = graph, node
        self._out = node.outputs[0]
        self._new: list[ir.Node] = []

    def add(
        self, op: str, inputs: Sequence[ir.Value], shape: tuple[int, ...], attributes: Mapping[str, Any] | None = None
    ) -> ir.Value:
        """A node of one output, which has the dtype of the replaced node's."""
        number = len(self._new)
        node = ir.node(op, inputs, attributes or {}, name=f"{self._node.name or self._out.name}.{number}")
        value = node.outputs[0]
        value.name, value.dtype, value.shape = f"{self._out.name}.{number}", self._out.dtype, ir.Shape(shape)
        self._new.append(node)
        return value

    def constant(self, array: NDArray[Any] | np.float32) -> ir.Value:
        """An initializer."""
        return initializer(self._graph, f"{self._out.name}.constant", array)

    def reshape(self, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        """A Reshape to constant sizes."""
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64))], shape)

    def replace(self, result: ir.Value) -> None:
        """Put the nodes into the graph; `result` is read instead of the old node's output."""
        ir.convenience.replace_nodes_and_values(self._graph, self._node, [self._node], self._new, [self._out], [result])
