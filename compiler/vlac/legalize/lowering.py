"""Translate a QDQ model node by node into the device graph.

A float value of the QDQ model is either a dequantized tensor (then `values` knows its Tensor) or the
unrounded result of an operator that ends in QuantizeLinear, possibly through Relu or Clip; `result`
follows it to that QuantizeLinear. What each operator becomes is in `ops/`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import INT8_MAX, INT8_MIN, make_table, quantize
from vla_isa.signature import ModelOutput, Signature
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph, GraphOutput, Tensor, VecOp
from vlac.ir.moves import MoveOp
from vlac.ops import BY_NAME
from vlac.ops.dequantize_linear import constant_tensor
from vlac.ops.host_graph import HostGraph, dtype_of
from vlac.ops.host_nodes import prefix_nodes, suffix_nodes
from vlac.ops.quantized import Result, activation_parameters, bound, clamp_bounds, node_label, unquantized, value_label
from vlac.ops.spec import constant, is_constant, shape_of
from vlac.ops.unary import Traced
from vlac.quantize.rounding import rounding_of

__all__ = ["Lowering", "lower"]

I64 = NDArray[np.int64]


class Lowering:
    """The state of the translation: known tensors by value, and the graph so far."""

    def __init__(self, model: ir.Model, hw: HardwareConfig) -> None:
        """Start with an empty device graph."""
        self.model, self.hw = model, hw
        self.rounding = rounding_of(model)
        self.graph = Graph([], [], [])
        self.values: dict[ir.Value, Tensor] = {}
        self.traced: dict[ir.Value, Traced] = {}
        self.absorbed: set[ir.Node] = set()
        self.host = HostGraph(model)
        self._on_host = prefix_nodes(model) | suffix_nodes(model)
        self._names = {v.name for v in model.graph.outputs}  # of outputs of the device
        self._made: dict[tuple[Tensor, tuple[int, ...], str], int] = {}

    def run(self) -> Graph:
        """Translate every node; stops at the first that cannot be."""
        for node in self.model.graph:
            spec = BY_NAME[node.op_type]
            if node in self.absorbed or is_constant(node.outputs[0]):
                continue
            try:
                if node in self._on_host:
                    self.host.convert(node, partial(self._host_value, node))
                elif spec.lower is not None:
                    spec.lower(self, node)
            except UnsupportedError as e:
                raise UnsupportedError(e.refusals or e.reasons, nodes=[node_label(node)]) from e
        host, outputs = self.host, [ModelOutput(v.name or "", self._output(v)) for v in self.model.graph.outputs]
        self.graph.signature = Signature(host.inputs, host.ops, [], outputs, host.arrays)
        self._name_outputs(self.graph.signature)
        return self.graph

    # --- the host -------------------------------------------------------------------------------------

    def device_input(self, tensor: Tensor, source: ir.Value) -> None:
        """Let the device take a value of the host as `tensor`: real numbers quantized, or the integers themselves."""
        number = self.host.numbers[source]
        if self.host.dtype(number) not in ("int8", "uint8"):
            number = self.host.cast(number, "float32", tensor.shape)
        taken = {name for name, _ in self.graph.input_labels.values()}
        self.graph.inputs.append(tensor)
        self.graph.input_labels[tensor] = (_unique(source.name or "?", taken), number)

    def _host_value(self, reader: ir.Node, value: ir.Value) -> int:
        """The number of an operand of the host's `reader`."""
        if value in self.host.numbers:
            return self.host.numbers[value]
        if is_constant(value):
            array = constant(value)
            assert array is not None
            return self.host.constant(array)
        if value not in self.values:
            raise unquantized(reader, value, "operand")
        number = self._device_output(self.values[value], shape_of(value), "float32", _unique(value.name, self._names))
        return self.host.cast(number, dtype_of(value), shape_of(value))

    def _device_output(self, tensor: Tensor, shape: tuple[int, ...], dtype: str, name: str) -> int:
        """The number of a tensor that the device returns, as real numbers or integers."""
        if tensor.constant is not None:
            real = (tensor.constant.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
            return self.host.constant(real.reshape(shape))
        key = (tensor, shape, dtype)
        if key not in self._made:
            self._names.add(name)
            self.graph.outputs.append(GraphOutput(name, shape, tensor))
            self._made[key] = self.host.add("Device", (), shape, dtype, (len(self.graph.outputs) - 1,))
        return self._made[key]

    def _name_outputs(self, signature: Signature) -> None:
        """Call a tensor that alone makes an output of the model, and no other one, as that output."""
        made = {o.name: signature.device_outputs(o.source) for o in signature.outputs}
        users = Counter(i for numbers in made.values() for i in numbers)
        for name, numbers in made.items():
            if len(numbers) == 1 and users[numbers[0]] == 1:
                self.graph.outputs[numbers[0]] = replace(self.graph.outputs[numbers[0]], name=name)

    def _output(self, value: ir.Value) -> int:
        """The number of an output of the model."""
        if value in self.host.numbers:
            return self.host.numbers[value]
        tensor, dtype = self.values.get(value), dtype_of(value)
        if tensor is None:
            raise UnsupportedError(
                [
                    f"model output '{value.name}' is not computed from quantized values; "
                    "put QuantizeLinear and DequantizeLinear in front of it"
                ],
                nodes=[node_label(n) for n in [value.producer()] if n is not None],
            )
        kind = dtype if dtype in ("int8", "uint8") else "float32"
        number = self._device_output(tensor, shape_of(value), kind, value.name or "")
        return self.host.cast(number, dtype, shape_of(value))

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
        quantizer = self._first_quantizer(node) if value is not None and value.is_graph_input() else None
        if value is None or value in self.values or quantizer is None:
            return self.operand(node, 0)
        if any(u.op_type == "QuantizeLinear" for u in value.consumers()):
            raise unquantized(node, value, "input 0")  # in one place it is quantized, in another not
        found = self.new_tensor(quantizer, value.name or "?")
        shape = shape_of(value)
        tensor = Tensor(
            f"{value.name}:quantized", value.name or "?", shape, found.scale, found.zero_point, unsigned=found.unsigned
        )
        self.device_input(tensor, value)
        self.values[value] = tensor
        return tensor

    def _first_quantizer(self, node: ir.Node) -> ir.Node | None:
        """The QuantizeLinear behind a node that only moves values, through others that do or clamp, or None."""
        for user in (u for value in node.outputs for u in value.consumers()):
            moves = BY_NAME[user.op_type].moves or clamp_bounds(user) is not None
            found = user if user.op_type == "QuantizeLinear" else self._first_quantizer(user) if moves else None
            if found is not None:
                return found
        return None

    def result(self, node: ir.Node, output: int = 0) -> Result:
        """The quantized tensor that output `output` of a node ends in, through absorbed Relu and Clip.

        Raises:
            UnsupportedError: no QuantizeLinear follows, or two with different scales.
        """
        value, lo, hi, label = node.outputs[output], -np.inf, np.inf, node_label(node)
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
        tensor = self.new_tensor(quantizers[0], value_label(value))
        for q in quantizers:
            if activation_parameters(q)[:2] != (tensor.scale, tensor.zero_point):
                raise UnsupportedError(
                    [
                        f"{node.op_type} '{node_label(node)}': its result '{value.name}' is quantized twice "
                        "with different scales; use one QuantizeLinear"
                    ]
                )
            self.values[q.outputs[0]] = tensor
        clamp = bound(lo, tensor, INT8_MIN, self.rounding), bound(hi, tensor, INT8_MAX, self.rounding)
        return Result(tensor, *clamp, label, self.rounding)

    def new_tensor(self, quantizer: ir.Node, label: str) -> Tensor:
        """The tensor that a QuantizeLinear makes."""
        scale, zero, unsigned = activation_parameters(quantizer)
        out = quantizer.outputs[0]
        return Tensor(out.name or "", label, shape_of(out), scale, zero, unsigned=unsigned)

    def passthrough(self, node: ir.Node, output: int = 0) -> tuple[Tensor | None, str]:
        """For operators that only move values: the tensor of the Q behind, or None where none follows."""
        users = node.outputs[output].consumers()
        if any(u.op_type == "QuantizeLinear" for u in users):
            found = self.result(node, output)
            return found.tensor, found.label
        return None, node_label(node)

    # --- small operations that several operators need -------------------------------------------------

    def requantized(
        self, source: Tensor, target: Tensor, node: str, op_type: str, lo: int = INT8_MIN, hi: int = INT8_MAX
    ) -> None:
        """Let `target` be `source` in target's scale, clamped (a table; exact by construction)."""
        scales = source.scale, source.zero_point, target.scale, target.zero_point
        table = make_table(lambda x: x, *scales, self.rounding)
        table = np.clip(table, lo, hi).astype(np.int8)
        self.graph.ops.append(
            VecOp(node, op_type, [source], target, "add", 1 << 23, 0, 23, source.zero_point, table=table)
        )

    def moved(self, node: ir.Node, source: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        """`source` seen with another shape of as many elements."""
        probe = Tensor(name, name, shape, source.scale, source.zero_point, unsigned=source.unsigned)
        return self.move(node, [source], np.arange(math.prod(shape)), probe)

    def move(self, node: ir.Node, sources: list[Tensor], index: I64, out: Tensor, fill: float = 0.0) -> Tensor:
        """`out` as a rearrangement of tensors of its scale; a source itself where every element stays, or a constant.

        `index`: see MoveOp; `fill` is a real value.
        """
        x = sources[0]
        integer = int(quantize(np.array([fill], np.float32), out.scale, out.zero_point)[0])
        if len(sources) == 1 and x.constant is not None:
            out.constant = np.append(x.constant.reshape(-1), np.int8(integer))[index].reshape(out.shape)
            return out
        if len(sources) == 1 and x.same_order(out) and np.array_equal(index, np.arange(len(index))):
            return x
        self.graph.ops.append(MoveOp(node_label(node), node.op_type, sources, out, index, integer))
        return out


def _unique(name: str | None, taken: Collection[str | None]) -> str:
    """`name`, with a number behind it where it is taken."""
    found, count = name or "?", 0
    while found in taken:
        count += 1
        found = f"{name}:{count}"
    return found


def lower(model: ir.Model, hw: HardwareConfig) -> Graph:
    """The device graph of a QDQ model.

    Raises:
        UnsupportedError: a value that is not quantized, or an arrangement the machine cannot take.
    """
    return Lowering(model, hw).run()
