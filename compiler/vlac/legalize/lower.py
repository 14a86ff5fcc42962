"""Translate a QDQ model node by node into the device graph: each operator's own lowering, or the host's functions.

Not here: what an operator becomes (`ops/`), what it may use for that (`lowering/context.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import onnx_ir as ir

from vla_isa.integer import IntType
from vla_isa.signature import ModelOutput, Signature
from vlac.analysis.host_nodes import prefix_nodes, suffix_nodes
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph, GraphOutput
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext, unique_name
from vlac.lowering.quantized import unquantized
from vlac.model.carried import carried_names, repeat_of
from vlac.model.gates import is_inside_gates
from vlac.model.labels import node_label
from vlac.model.reading import constant, dtype_of, is_constant, shape_of
from vlac.ops import BY_NAME
from vlac.quantize.rounding import rounding_of

__all__ = ["lower"]


def lower(model: ir.Model) -> Graph:
    """The device graph of a QDQ model.

    Raises:
        UnsupportedError: a value that is not quantized, or an arrangement the machine cannot take.
    """
    return _Lowering(model).run()


class _Lowering:
    """One translation: the nodes in order, then the outputs of the device and what the host makes of them."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._low = LoweringContext(model, rounding_of(model), lambda node: BY_NAME[node.op_type].keeps_scale)
        self._graph, self._host = self._low.graph, self._low.host
        self._on_host = prefix_nodes(model) | suffix_nodes(model)
        self._names = {v.name for v in model.graph.outputs}  # of outputs of the device
        self._made: dict[tuple[Tensor, tuple[int, ...], str], int] = {}

    def run(self) -> Graph:
        """Translate every node; stops at the first that cannot be."""
        for node in self._model.graph:
            if node in self._low.absorbed or is_constant(node.outputs[0]) or is_inside_gates(node):
                continue
            try:
                if node in self._on_host:
                    self._host.convert(node, partial(self._host_value, node))
                    continue
                spec = BY_NAME[node.op_type]
                if spec.lower is not None:
                    spec.lower(self._low, node)
            except UnsupportedError as e:
                raise UnsupportedError(e.refusals or e.reasons, nodes=[node_label(node)]) from e
        outputs = [ModelOutput(v.name or "", self._output(v)) for v in self._model.graph.outputs]
        self._graph.signature = Signature(self._host.inputs, self._host.ops, [], outputs, self._host.arrays)
        self._name_outputs(self._graph.signature)
        self._graph.carried = carried_names(self._model)
        self._graph.repeat = repeat_of(self._model).count
        self._check_counter()
        return self._graph

    def _check_counter(self) -> None:
        """Refuse a counter that the host computes with, which does so once for all runs.

        Raises:
            UnsupportedError: names it.
        """
        counter, signature = repeat_of(self._model).counter, self._graph.signature
        assert signature is not None
        feeds = [number for _, number in self._graph.input_labels.values()]
        if counter is not None and self._host.numbers[counter] in signature.needed(feeds):
            text = "a Gather of rows of a constant table may read it, and nothing else"
            raise UnsupportedError([f"counter '{counter.name}' is an operand of what the host computes; {text}"])

    def _host_value(self, reader: ir.Node, value: ir.Value) -> int:
        """The number of an operand of the host's `reader`."""
        if value in self._host.numbers:
            return self._host.numbers[value]
        if is_constant(value):
            array = constant(value)
            assert array is not None
            return self._host.constant(array)
        if value not in self._low.values:
            raise unquantized(reader, value, "operand")
        number = self._device_output(
            self._low.values[value], shape_of(value), "float32", unique_name(value.name, self._names)
        )
        return self._host.cast(number, dtype_of(value), shape_of(value))

    def _device_output(self, tensor: Tensor, shape: tuple[int, ...], dtype: str, name: str) -> int:
        """The number of a tensor that the device returns, as real numbers or integers."""
        if tensor.constant is not None:
            real = (tensor.constant.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
            return self._host.constant(real.reshape(shape))
        key = (tensor, shape, dtype)
        if key not in self._made:
            self._names.add(name)
            self._graph.outputs.append(GraphOutput(name, shape, tensor))
            self._made[key] = self._host.add("Device", (), shape, dtype, (len(self._graph.outputs) - 1,))
        return self._made[key]

    def _name_outputs(self, signature: Signature) -> None:
        """Call a tensor that alone makes an output of the model, and no other one, as that output."""
        made = {o.name: signature.device_outputs(o.source) for o in signature.outputs}
        users = Counter(i for numbers in made.values() for i in numbers)
        for name, numbers in made.items():
            if len(numbers) == 1 and users[numbers[0]] == 1:
                self._graph.outputs[numbers[0]] = replace(self._graph.outputs[numbers[0]], name=name)

    def _output(self, value: ir.Value) -> int:
        """The number of an output of the model."""
        if value in self._host.numbers:
            return self._host.numbers[value]
        tensor, dtype = self._low.values.get(value), dtype_of(value)
        if tensor is None:
            raise UnsupportedError(
                [
                    f"model output '{value.name}' is not computed from quantized values; "
                    "put QuantizeLinear and DequantizeLinear in front of it"
                ],
                nodes=[node_label(n) for n in [value.producer()] if n is not None],
            )
        integers = IntType.named(dtype)
        kind = dtype if integers is not None and integers.stored == tensor.stored else "float32"
        number = self._device_output(tensor, shape_of(value), kind, value.name or "")
        return self._host.cast(number, dtype, shape_of(value))
