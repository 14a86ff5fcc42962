"""Translate a QDQ model node by node into the device graph.

A float value of the QDQ model is either a dequantized tensor (then `values` knows its Tensor) or the
unrounded result of an operator that ends in QuantizeLinear, possibly through Relu or Clip; `result`
follows it to that QuantizeLinear. What each operator becomes is in `ops/`.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import INT8_MAX, INT8_MIN, make_table
from vlac.errors import ModelError, UnsupportedError
from vlac.ir.graph import Graph, GraphOutput, Tensor, VecOp, View
from vlac.ops import BY_NAME
from vlac.ops.dequantize_linear import constant_tensor
from vlac.ops.quantized import Result, activation_parameters, bound, clamp_bounds, node_label, unquantized
from vlac.ops.spec import constant, shape_of

__all__ = ["Lowering", "lower"]


class Lowering:
    """The state of the translation: known tensors by value, and the graph so far."""

    def __init__(self, model: ir.Model, hw: HardwareConfig) -> None:
        """Start with an empty device graph."""
        self.model, self.hw = model, hw
        self.graph = Graph([], [], [])
        self.values: dict[ir.Value, Tensor] = {}
        self.absorbed: set[ir.Node] = set()
        self._views: dict[tuple[Tensor, tuple[int, int, int]], Tensor] = {}

    def run(self) -> Graph:
        """Translate every node; collects all refusals before raising."""
        reasons: list[str] = []
        for node in self.model.graph:
            spec = BY_NAME[node.op_type]
            if node in self.absorbed or spec.lower is None or constant(node.outputs[0]) is not None:
                continue
            try:
                spec.lower(self, node)
            except UnsupportedError as e:
                reasons.extend(e.reasons)
                break
        if reasons:
            raise UnsupportedError(reasons)
        for value in self.model.graph.outputs:
            self.graph.outputs.append(self._output(value))
        return self.graph

    def _output(self, value: ir.Value) -> GraphOutput:
        tensor = self.values.get(value)
        if tensor is None:
            raise UnsupportedError(
                [
                    f"model output '{value.name}' is not computed from quantized values; "
                    "put QuantizeLinear and DequantizeLinear in front of it"
                ]
            )
        if tensor.constant is not None:
            raise ModelError(f"model output '{value.name}' is a constant; remove it from the model")
        dtype = str(value.dtype.numpy()) if value.dtype is not None else "float32"
        return GraphOutput(value.name or "", shape_of(value), dtype, tensor)

    # --- operands and results -------------------------------------------------------------------------

    def operand(self, node: ir.Node, index: int) -> Tensor:
        """The tensor of an input, or a constant tensor.

        Raises:
            UnsupportedError: the input is a float value without Q/DQ.
        """
        value = node.inputs[index]
        if value is None:
            raise UnsupportedError([f"{node.op_type} '{node_label(node)}' lacks input {index}"])
        if value not in self.values:
            producer = value.producer()
            found = (
                constant_tensor(producer) if producer is not None and producer.op_type == "DequantizeLinear" else None
            )
            if found is None:
                raise unquantized(node, value, f"input {index}")
            self.values[value] = found
        return self.values[value]

    def moved_operand(self, node: ir.Node) -> Tensor:
        """Input 0 of an operator that only picks or clamps values.

        A model input in front of it takes the scale of the result: quantizing first gives the same integers.
        """
        value = node.inputs[0]
        if value is None or value in self.values or not value.is_graph_input():
            return self.operand(node, 0)
        if any(u.op_type == "QuantizeLinear" for u in value.consumers()):
            raise unquantized(node, value, "input 0")  # in one place it is quantized, in another not
        found = self.result(node).tensor
        shape = shape_of(value)
        tensor = Tensor(
            f"{value.name}:quantized", value.name or "?", shape, found.scale, found.zero_point, unsigned=found.unsigned
        )
        self.graph.inputs.append(tensor)
        self.graph.input_labels[tensor] = (value.name or "?", "float32")
        self.values[value] = tensor
        return tensor

    def result(self, node: ir.Node) -> Result:
        """The quantized tensor that a node's result ends in, through absorbed Relu and Clip.

        Raises:
            UnsupportedError: no QuantizeLinear follows, or two with different scales.
        """
        value, lo, hi, label = node.outputs[0], -np.inf, np.inf, node_label(node)
        while True:
            users = list(dict.fromkeys(value.consumers()))
            quantizers = [u for u in users if u.op_type == "QuantizeLinear"]
            if quantizers and len(quantizers) == len(users) and not value.is_graph_output():
                break
            step = users[0] if len(users) == 1 and not value.is_graph_output() else None
            bounds = clamp_bounds(step) if step is not None else None
            if step is None or bounds is None:
                raise unquantized(node, value, "result")
            # Clip of a clip: the later one wins where they contradict
            lo, hi = (min(max(b, bounds[0]), bounds[1]) for b in (lo, hi))
            self.absorbed.add(step)
            value, label = step.outputs[0], f"{label}+{node_label(step)}"
        tensor = self.new_tensor(quantizers[0], value.name or "?")
        for q in quantizers:
            if activation_parameters(q)[:2] != (tensor.scale, tensor.zero_point):
                raise UnsupportedError(
                    [
                        f"{node.op_type} '{node_label(node)}': its result '{value.name}' is quantized twice "
                        "with different scales; use one QuantizeLinear"
                    ]
                )
            self.values[q.outputs[0]] = tensor
        return Result(tensor, bound(lo, tensor, INT8_MIN), bound(hi, tensor, INT8_MAX), label)

    def new_tensor(self, quantizer: ir.Node, label: str) -> Tensor:
        """The tensor that a QuantizeLinear makes."""
        scale, zero, unsigned = activation_parameters(quantizer)
        out = quantizer.outputs[0]
        return Tensor(out.name or "", label, shape_of(out), scale, zero, unsigned=unsigned)

    def passthrough(self, node: ir.Node) -> tuple[Tensor | None, str]:
        """For operators that only move values: the tensor of the Q behind, or None where none follows."""
        users = node.outputs[0].consumers()
        if any(u.op_type == "QuantizeLinear" for u in users):
            found = self.result(node)
            return found.tensor, found.label
        return None, node_label(node)

    # --- small operations that several operators need -------------------------------------------------

    def requantized(
        self, source: Tensor, target: Tensor, node: str, op_type: str, lo: int = INT8_MIN, hi: int = INT8_MAX
    ) -> None:
        """Let `target` be `source` in target's scale, clamped (a table; exact by construction)."""
        table = make_table(lambda x: x, source.scale, source.zero_point, target.scale, target.zero_point)
        table = np.clip(table, lo, hi).astype(np.int8)
        self.graph.ops.append(
            VecOp(node, op_type, [source], target, "add", 1 << 23, 0, 23, source.zero_point, table=table)
        )

    def moved(self, node: ir.Node, source: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        """`source` seen with another shape: itself, or a View between an image and a vector.

        Raises:
            UnsupportedError: the reshape would have to move data between pixels and channels.
        """
        probe = Tensor(name, name, shape, source.scale, source.zero_point, unsigned=source.unsigned)
        if _same_order(source, probe):
            return source
        key = (source, (probe.h, probe.w, probe.c))
        if key in self._views:
            return self._views[key]
        producer = source.producer
        if isinstance(producer, View) and _same_order(producer.inputs[0], probe):
            return producer.inputs[0]
        if not (probe.is_vector or (source.is_vector and not isinstance(producer, View))):
            raise UnsupportedError(
                [
                    f"{node.op_type} '{node_label(node)}': reshape {source.shape} -> {shape} moves data between "
                    "pixels and channels; only flattening to one vector, its inverse, and adding or "
                    "removing axes of size 1 are supported"
                ]
            )
        self.graph.ops.append(View(node_label(node), node.op_type, [source], probe))
        self._views[key] = probe
        return probe


def _same_order(a: Tensor, b: Tensor) -> bool:
    """Whether both shapes put every element at the same (h, w, c)."""
    if (a.h, a.w, a.c) != (b.h, b.w, b.c):
        return False
    return a.is_vector or (len(a.shape) == 4) == (len(b.shape) == 4)


def lower(model: ir.Model, hw: HardwareConfig) -> Graph:
    """The device graph of a QDQ model.

    Raises:
        UnsupportedError: a value that is not quantized, or an arrangement the machine cannot take.
    """
    return Lowering(model, hw).run()
