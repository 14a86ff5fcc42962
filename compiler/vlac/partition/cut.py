"""Cut a QDQ model into device and host segments that run one after the other.

QuantizeLinear and DequantizeLinear belong to the device segment that computed their value, so real numbers that are
exactly the device's integers are handed on; a device segment that reads such a value starts with the same pair again,
which gives the same integers. Behind a host node or a model input they are copied to every reader, as are values that
depend on no input. The device's integers never leave it: a host node that reads them, without DequantizeLinear, gets
real numbers and quantizes them again. Not here: which nodes run where (`stages.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import extract

from vlac.errors import UnsupportedError
from vlac.import_onnx.flow import Flow
from vlac.model.labels import node_label
from vlac.model.reading import constant
from vlac.partition.stages import stages
from vlac.rewrite.nodes import initializer

__all__ = ["Segment", "cut"]

_INTEGERS = (ir.DataType.INT8, ir.DataType.UINT8)


@dataclass
class Segment:
    """A part of the model; `nodes` are those that compute, as they are in the whole model.

    `integers` are the inputs and outputs that pass from the device to the host as real numbers.
    """

    on_host: bool
    nodes: list[ir.Node] = field(default_factory=list)
    inputs: dict[ir.Value, None] = field(default_factory=dict)
    outputs: dict[ir.Value, None] = field(default_factory=dict)
    integers: set[ir.Value] = field(default_factory=set)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for segments of one model that are the same."""
        names = ([x.name for x in part] for part in (self.nodes, self.inputs, self.outputs))
        return (self.on_host, *(tuple(n) for n in names))

    def model(self, flow: Flow) -> ir.Model:
        """The segment as a model of its own, which shares constants with the whole."""
        graph = extract(flow.graph, list(self.inputs), list(self.outputs))
        graph.name = "host" if self.on_host else "device"
        for index, outer in enumerate(self.inputs):
            last = outer.producer()
            if outer in self.integers:
                _read_as_reals(graph, index, _Pair(graph, outer))
            elif not self.on_host and last is not None and last.op_type == "DequantizeLinear":
                _requantize(graph, graph.inputs[index], _Pair(graph, outer))
        for index, outer in enumerate(self.outputs):
            if outer in self.integers:
                inner = graph.outputs[index]
                graph.outputs[index] = _Pair(graph, outer).dequantize(inner, f"{outer.name}/real")
                if outer.is_graph_output():
                    graph.outputs.append(inner)
        return ir.Model(graph, ir_version=flow.model.ir_version, metadata_props=dict(flow.model.metadata_props))


def cut(flow: Flow, host: Collection[str]) -> list[Segment]:
    """Segments in the order they run, for these host nodes.

    Raises:
        UnsupportedError: nodes whose integers, of an unknown scale, would leave the device.
    """
    stage = stages(flow, host)
    parts = {s: Segment(bool(s % 2)) for s in sorted(set(stage.values()))}
    for node in flow.compute:
        part = parts[stage[node]]
        part.nodes.append(node)
        for value in flow.reads(node):
            source = flow.source(value)
            if source is None or stage[source] % 2:  # Q and DQ behind it are copied
                value = flow.behind(value)
            if source is not None and stage[source] != stage[node]:
                _hand_over(value, parts[stage[source]], part)
            elif source is None:
                part.inputs[value] = None
    rest = Segment(True)  # outputs that no node computes: constants, rounded inputs
    for out in flow.graph.outputs:
        source = flow.source(out) if flow.is_moving(out) else None
        if source is not None:
            parts[stage[source]].outputs[out] = None
        elif not out.is_graph_input():
            rest.outputs[out] = None
            rest.inputs |= {flow.behind(out): None} if flow.is_moving(out) else {}
    return [*parts.values(), *([rest] if rest.outputs else [])]


def _hand_over(value: ir.Value, maker: Segment, reader: Segment) -> None:
    node = value.producer()
    assert node is not None
    if not maker.on_host and value.dtype in _INTEGERS:
        if node.op_type != "QuantizeLinear":
            reason = f"{node.op_type} '{node_label(node)}': its result '{value.name}', integers, is read on the host"
            raise UnsupportedError([reason], nodes=[node_label(node)])
        maker.integers.add(value)
        reader.integers.add(value)
    maker.outputs[value] = None
    reader.inputs[value] = None


class _Pair:
    """New QuantizeLinear and DequantizeLinear nodes with the parameters of the one that made a value."""

    def __init__(self, graph: ir.Graph, value: ir.Value) -> None:
        made = value.producer()
        assert made is not None and made.inputs[0] is not None
        self._graph, self._integers = graph, value.dtype if value.dtype in _INTEGERS else made.inputs[0].dtype
        scale, zero = constant(made.inputs[1]), constant(made.inputs[2]) if len(made.inputs) > 2 else None
        if scale is None or self._integers is None:
            raise UnsupportedError([f"{made.op_type} '{node_label(made)}': its scale is no constant"])
        zero = np.zeros(scale.shape, self._integers.numpy()) if zero is None else zero
        self._parameters = [
            initializer(graph, f"{value.name}/scale", scale),
            initializer(graph, f"{value.name}/zero_point", zero),
        ]

    def quantize(self, value: ir.Value, name: str) -> ir.Value:
        """QuantizeLinear in front of all else."""
        made = self._node("QuantizeLinear", value, name, self._integers)
        self._graph.insert_before(self._graph[0], [made])
        return made.outputs[0]

    def dequantize(self, value: ir.Value, name: str) -> ir.Value:
        """DequantizeLinear behind the node that makes the value."""
        made = self._node("DequantizeLinear", value, name, ir.DataType.FLOAT)
        before = value.producer()
        assert before is not None
        self._graph.insert_after(before, [made])
        return made.outputs[0]

    def _node(self, operator: str, value: ir.Value, name: str, dtype: ir.DataType | None) -> ir.Node:
        node = ir.node(operator, [value, *self._parameters], name=name)
        out = node.outputs[0]
        out.name, out.dtype, out.shape = name, dtype, value.shape
        return node


def _requantize(graph: ir.Graph, value: ir.Value, pair: _Pair) -> None:
    """Read real numbers that are a device's through its Q and DQ again."""
    uses = value.uses()
    again = pair.dequantize(pair.quantize(value, f"{value.name}/integers"), f"{value.name}/again")
    for use in uses:
        use.node.replace_input_with(use.idx, again)


def _read_as_reals(graph: ir.Graph, index: int, pair: _Pair) -> None:
    """Take real numbers where the segment reads a device's integers."""
    old = graph.inputs[index]
    real = ir.Value(name=f"{old.name}/real", shape=old.shape, type=ir.TensorType(ir.DataType.FLOAT))
    uses = old.uses()
    graph.inputs[index] = real
    integers = pair.quantize(real, f"{old.name}/integers")
    for use in uses:
        use.node.replace_input_with(use.idx, integers)
