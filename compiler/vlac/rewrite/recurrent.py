"""LSTM, GRU and RNN become products, functions and sums, step after step.

matches: the operators (Hochreiter and Schmidhuber 1997; Cho et al. 2014) of batch 1 with constant weights, where
`lowering/recurrent.py` finds no obstacle; rewrite: one Gemm over all steps of the input, then for each step and
direction a Gemm of the state, gates as functions of parts of their sum, and the new state. States that are not given
are 0, and what they would be multiplied with is left out.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.lowering.recurrent import RECURRENT, obstacles
from vlac.model.reading import attribute, constant_input, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op

__all__ = ["unroll_recurrent"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
F32 = NDArray[np.float32]


def unroll_recurrent(model: ir.Model) -> None:
    """Rewrite every such node of a float model, in place."""
    for node in list(model.graph):
        if any(is_op(node, op) for op in RECURRENT) and not obstacles(node):
            _Cell(model.graph, node).replace()


class _Cell:
    """One node: its weights, and the nodes that take its place."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self.graph, self.node, self.new, self.op = graph, node, Nodes(graph, node), node.op_type
        x, w, r = node.inputs[0], constant_input(node, 1), constant_input(node, 2)
        assert x is not None and w is not None and r is not None
        self.steps, _, width = shape_of(x)
        self.w, self.r, self.size = w, r, r.shape[2]
        bias = constant_input(node, 3)
        none = np.zeros((len(w), 2 * _GATES[self.op] * self.size), np.float32)
        self.b = (none if bias is None else bias).reshape(len(w), 2, -1)
        self.x = self.new.reshape(x, (self.steps, width)) if shape_of(x) != (self.steps, width) else x
        self.direction = attribute(node, "direction", "forward")
        activation = (attribute(node, "activations", None) or ["Tanh"])[0]
        self.activation = "Relu" if activation.lower() == "relu" else "Tanh"
        self.linear = self.op == "GRU" and bool(attribute(node, "linear_before_reset", 0))

    def replace(self) -> None:
        """Put the new nodes into the graph."""
        runs = [self._run(d) for d in range(len(self.w))]
        outputs: list[ir.Value | None] = []
        hidden = [[h for h, _ in run] for run in runs]
        read = [bool(v.consumers()) or v.is_graph_output() for v in self.node.outputs]
        for number, is_read in enumerate(read):
            if not is_read:
                outputs.append(None)
            elif number == 0:
                rows = [self._joined([run[t] for run in hidden], 1) for t in range(self.steps)]
                outputs.append(self.new.reshape(self._joined(rows, 0), (self.steps, len(runs), 1, self.size)))
            else:
                last = [run[-1 if self._forward(d) else 0][number - 1] for d, run in enumerate(runs)]
                values = [v for v in last if v is not None]
                outputs.append(self.new.reshape(self._joined(values, 0), (len(runs), 1, self.size)))
        self.new.insert()
        for old, made in zip(self.node.outputs, outputs, strict=True):
            if made is not None:
                old.replace_all_uses_with(made, replace_graph_outputs=True)
                old.name, made.name = f"{old.name}.old", old.name
        self.graph.remove(self.node, safe=True)

    def _forward(self, d: int) -> bool:
        return self.direction == "forward" or (self.direction == "bidirectional" and d == 0)

    def _run(self, d: int) -> list[tuple[ir.Value, ir.Value | None]]:
        """(h, c) behind each step of the input, of one direction."""
        bias = self.b[d][0] + self.b[d][1]
        if self.linear:
            bias[2 * self.size :] = self.b[d][0][2 * self.size :]
        rows = self._product(self.x, self.w[d], bias)
        h, c = self._initial(5, d), self._initial(6, d)
        found: list[tuple[ir.Value, ir.Value | None]] = []
        order = range(self.steps) if self._forward(d) else range(self.steps - 1, -1, -1)
        for t in order:
            h, c = getattr(self, f"_{self.op.lower()}")(d, self._row(rows, t), h, c)
            found.append((h, c))
        return found if self._forward(d) else found[::-1]

    # --- steps ----------------------------------------------------------------------------------------

    def _lstm(self, d: int, row: ir.Value, h: ir.Value | None, c: ir.Value | None) -> tuple[ir.Value, ir.Value]:
        pre = row if h is None else self._two("Add", self._product(h, self.r[d]), row)
        i, o, f, g = self._parts(pre)
        new = self._two("Mul", self._one("Sigmoid", i), self._one("Tanh", g))
        if c is not None:
            new = self._two("Add", self._two("Mul", self._one("Sigmoid", f), c), new)
        return self._two("Mul", self._one("Sigmoid", o), self._one("Tanh", new)), new

    def _gru(self, d: int, row: ir.Value, h: ir.Value | None, c: None) -> tuple[ir.Value, None]:
        n, (xz, xr, xn) = self.size, self._parts(row)
        late = self.b[d][1][2 * n :]
        if h is None:
            added = self._two("Mul", self._one("Sigmoid", xr), self.new.constant(late[None])) if self.linear else None
            fresh = self._one("Tanh", xn if added is None else self._two("Add", xn, added))
            return self._two("Mul", fresh, self._one("Sigmoid", self._one("Neg", xz))), None
        if self.linear:
            hz, hr, hn = self._parts(self._product(h, self.r[d], np.concatenate([0 * late, 0 * late, late])))
            r = self._one("Sigmoid", self._two("Add", xr, hr))
            gated = self._two("Mul", r, hn)
        else:
            hz, hr = self._parts(self._product(h, self.r[d][: 2 * n]))
            r = self._one("Sigmoid", self._two("Add", xr, hr))
            gated = self._product(self._two("Mul", r, h), self.r[d][2 * n :])
        fresh = self._one("Tanh", self._two("Add", xn, gated))
        z = self._two("Add", xz, hz)
        kept, taken = self._one("Sigmoid", z), self._one("Sigmoid", self._one("Neg", z))
        return self._two("Add", self._two("Mul", taken, fresh), self._two("Mul", kept, h)), None

    def _rnn(self, d: int, row: ir.Value, h: ir.Value | None, c: None) -> tuple[ir.Value, None]:
        pre = row if h is None else self._two("Add", self._product(h, self.r[d]), row)
        return self._one(self.activation, pre), None

    # --- nodes ----------------------------------------------------------------------------------------

    def _initial(self, index: int, d: int) -> ir.Value | None:
        """A state [directions, 1, H] that is given, of one direction, as [1, H]."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        known = None if value is None else constant_input(self.node, index)
        if value is None or (known is not None and not known.any()) or (index == 6 and self.op != "LSTM"):
            return None
        whole = self.new.reshape(value, (len(self.w), self.size))
        return self._row(whole, d)

    def _row(self, x: ir.Value, number: int) -> ir.Value:
        count, width = shape_of(x)
        if count == 1:
            return x
        ends = (self.new.constant(np.array([n], np.int64)) for n in (number, number + 1, 0))
        return self.new.add("Slice", [x, *ends], (1, width))

    def _product(self, x: ir.Value, weights: F32, bias: F32 | None = None) -> ir.Value:
        inputs = [x, *(self.new.constant(a.astype(np.float32)) for a in (weights, bias) if a is not None)]
        return self.new.add("Gemm", inputs, (shape_of(x)[0], len(weights)), {"transB": 1})

    def _parts(self, x: ir.Value) -> list[ir.Value]:
        count = shape_of(x)[1] // self.size
        sizes = self.new.constant(np.full(count, self.size, np.int64))
        return self.new.several("Split", [x, sizes], [((1, self.size), None)] * count, {"axis": 1})

    def _one(self, op: str, x: ir.Value) -> ir.Value:
        return self.new.add(op, [x], shape_of(x))

    def _two(self, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.new.add(op, [a, b], shape_of(a))

    def _joined(self, values: list[ir.Value], axis: int) -> ir.Value:
        if len(values) == 1:
            return values[0]
        shape = list(shape_of(values[0]))
        shape[axis] = sum(shape_of(v)[axis] for v in values)
        return self.new.add("Concat", values, shape, {"axis": axis})
