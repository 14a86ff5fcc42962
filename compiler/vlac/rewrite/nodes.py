"""Put several nodes in the place of one or in front of it, with the shapes and dtypes that shape inference would give.

Not here: which nodes (the rewrites).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.import_onnx.names import unique_name

__all__ = ["Nodes", "initializer"]


def initializer(graph: ir.Graph, name: str, array: NDArray[Any] | np.generic) -> ir.Value:
    """A new constant of a graph, with a number behind `name` where that is taken."""
    unique = unique_name(graph, name)
    value = ir.Value(name=unique, const_value=ir.tensor(np.asarray(array, order="C"), name=unique))
    value.dtype, value.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
    graph.register_initializer(value)
    return value


class Nodes:
    """New nodes, named after `node` and one of its outputs (the first if none is given).

    `replace` puts them into the graph in its place, `insert` in front of it. As a context (`with`), nodes that were not
    put anywhere are taken apart at its end, so that they do not count as readers of the graph's values.
    """

    def __init__(self, graph: ir.Graph, node: ir.Node, out: ir.Value | None = None) -> None:
        self._graph, self._node = graph, node
        self._out = node.outputs[0] if out is None else out
        self._new: list[ir.Node] = []
        self._placed = False

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        for node in () if self._placed else self._new:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)

    @property
    def made(self) -> list[ir.Node]:
        """The nodes so far, in order."""
        return list(self._new)

    def add(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        dtype: ir.DataType | None = None,
    ) -> ir.Value:
        """A node of one output, which has the dtype of the old node's where none is given."""
        number = len(self._new)
        name = unique_name(self._graph, f"{self._node.name or self._out.name}.{number}")
        node = ir.node(op, inputs, attributes or {}, name=name)
        value = node.outputs[0]
        value.name = unique_name(self._graph, f"{self._out.name}.{number}")
        value.dtype, value.shape = dtype or self._out.dtype, ir.Shape(shape)
        self._new.append(node)
        return value

    def several(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        outputs: Sequence[tuple[Sequence[int], ir.DataType | None]],
        attributes: Mapping[str, Any] | None = None,
    ) -> list[ir.Value]:
        """A node of several outputs, given by their shapes and dtypes."""
        first = self.add(op, inputs, outputs[0][0], attributes, outputs[0][1])
        node = first.producer()
        assert node is not None
        node.resize_outputs(len(outputs))
        for value, (shape, dtype) in zip(node.outputs[1:], outputs[1:], strict=True):
            value.name = unique_name(self._graph, f"{first.name}.{value.index()}")
            value.dtype, value.shape = dtype or self._out.dtype, ir.Shape(shape)
        return list(node.outputs)

    def constant(self, array: NDArray[Any] | np.generic) -> ir.Value:
        """An initializer."""
        return initializer(self._graph, f"{self._out.name}.constant", array)

    def reshape(self, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        """A Reshape to constant sizes."""
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64))], shape)

    def insert(self) -> None:
        """Put the nodes into the graph in front of the old one, which stays."""
        self._graph.insert_before(self._node, self._new)
        self._placed = True

    def replace(self, result: ir.Value) -> None:
        """Put the nodes into the graph; `result` is read instead of the old node's output."""
        self._placed = True
        if not self._new:  # nothing but a value that is there already: it keeps its name
            self._out.replace_all_uses_with(result, replace_graph_outputs=True)
            self._graph.remove(self._node, safe=True)
            return
        ir.convenience.replace_nodes_and_values(self._graph, self._node, [self._node], self._new, [self._out], [result])
