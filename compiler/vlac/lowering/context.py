"""What an operator's lowering may use: the tensors known so far, its operands and results, and the graph it adds to.

A float value of the QDQ model is either a dequantized tensor (then `values` knows its Tensor) or the
unrounded result of an operator that ends in QuantizeLinear, possibly through Relu or Clip; `result`
follows it to that QuantizeLinear. Not here: going through the nodes (`legalize/lower.py`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT8, IntType
from vla_isa.numerics import make_table, quantize
from vlac.device.layout_op import LayoutOp
from vlac.device.vec import VecOp
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.operation import ITEM_BYTES, Home, Tensor
from vlac.lowering.host_graph import HostGraph
from vlac.lowering.quantized import Result, Traced, activation_parameters, bound, constant_tensor, unquantized
from vlac.lowering.rows import is_wide, rescale
from vlac.model.clamps import clamp_bounds
from vlac.model.labels import node_label, value_label
from vlac.model.reading import shape_of

__all__ = ["LoweringContext", "unique_name"]

I64 = NDArray[np.int64]
_FEW = 64  # elements by which rearrangements are told apart before all of them are compared


class LoweringContext:
    """The state of the translation: known tensors by value, and the graph so far.

    Args:
        model: the QDQ model.
        rounding: the code of `numerics.round_shift`.
        keeps_scale: whether a node only picks or rearranges values (`OpSpec.keeps_scale`).
    """

    def __init__(self, model: ir.Model, rounding: int, keeps_scale: Callable[[ir.Node], bool]) -> None:
        """Start with an empty device graph."""
        self.rounding, self._keeps_scale = rounding, keeps_scale
        self.model = model
        self.opset = model.opset_imports.get("", 17)
        self.graph = Graph([], [], [])
        self.values: dict[ir.Value, Tensor] = {}
        self.traced: dict[ir.Value, Traced] = {}
        self.absorbed: set[ir.Node] = set()
        self.host = HostGraph(model)
        self.items: dict[ir.Value, Tensor] = {}  # row numbers that the device makes
        self.shared: dict[Hashable, Tensor] = {}  # inputs that several nodes read, by what they are made of
        self._indexes = defaultdict[object, list[I64]](list)  # of rearrangements, by their length and some elements

    # --- the host -------------------------------------------------------------------------------------

    def device_input(self, tensor: Tensor, source: ir.Value) -> None:
        """Let the device take a value of the host as `tensor`: real numbers quantized, or the integers themselves."""
        self.taken(tensor, self.host.numbers[source], source.name)

    def taken(self, tensor: Tensor, number: int, wish: str | None) -> None:
        """The same of a value of the host that the model does not name; `wish` is the input's name if it is free."""
        integers = IntType.named(self.host.dtype(number))
        if integers is None or integers.stored != tensor.stored:
            number = self.host.cast(number, "float32", tensor.shape)
        taken = {name for name, _ in self.graph.input_labels.values()}
        self.graph.inputs.append(tensor)
        self.graph.input_labels[tensor] = (unique_name(wish, taken), number)

    def item_input(self, number: int, count: int, wish: str | None, rows: int = 0) -> Tensor:
        """Integers of the host as items of the device; with `rows` a number below 0 counts from the end of so many."""
        key = ("items", number, rows)
        if key not in self.shared:
            found = self.host.add("Items", (number,), (count, ITEM_BYTES), "int8", (rows,) if rows else ())
            taken = {name for name, _ in self.graph.input_labels.values()}
            name = unique_name(wish, taken)
            tensor = Tensor(f"{name}:items", name, (count, ITEM_BYTES), 1.0, 0, home=Home.ITEMS)
            self.graph.inputs.append(tensor)
            self.graph.input_labels[tensor] = (name, found)
            self.shared[key] = tensor
        return self.shared[key]

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
        tensor = found.like(f"{value.name}:quantized", label=value.name or "?", shape=shape_of(value))
        self.device_input(tensor, value)
        self.values[value] = tensor
        return tensor

    def _first_quantizer(self, node: ir.Node) -> ir.Node | None:
        """The QuantizeLinear behind a node that keeps the scale, through others that do or clamp, or None."""
        for user in (u for value in node.outputs for u in value.consumers()):
            through = self._keeps_scale(user) or clamp_bounds(user) is not None
            found = user if user.op_type == "QuantizeLinear" else self._first_quantizer(user) if through else None
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
        clamp = bound(lo, tensor, tensor.stored.lo, self.rounding), bound(hi, tensor, tensor.stored.hi, self.rounding)
        return Result(tensor, *clamp, label, self.rounding)

    def new_tensor(self, quantizer: ir.Node, label: str) -> Tensor:
        """The tensor that a QuantizeLinear makes."""
        scale, zero, kind = activation_parameters(quantizer)
        out = quantizer.outputs[0]
        return Tensor(out.name or "", label, shape_of(out), scale, zero, type=kind)

    def passthrough(self, node: ir.Node, output: int = 0) -> tuple[Tensor | None, str]:
        """For operators that only move values: the tensor of the Q behind, or None where none follows."""
        users = node.outputs[output].consumers()
        if any(u.op_type == "QuantizeLinear" for u in users):
            found = self.result(node, output)
            return found.tensor, found.label
        return None, node_label(node)

    # --- small operations that several operators need -------------------------------------------------

    def requantized(
        self, source: Tensor, target: Tensor, node: str, op_type: str, lo: int = INT8.lo, hi: int = INT8.hi
    ) -> None:
        """Let `target` be `source` in target's scale, clamped (a table; exact by construction; of int16 a ROW)."""
        if is_wide(source, target):
            rescale(self.graph, node, op_type, source, target, lo, hi)
            return
        scales = source.scale, source.zero_point, target.scale, target.zero_point
        table = make_table(lambda x: x, *scales, self.rounding)
        table = np.clip(table, lo, hi).astype(np.int8)
        self.graph.insert(VecOp.identity(node, op_type, source, target, table))

    def moved(self, node: ir.Node, source: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        """`source` seen with another shape of as many elements."""
        probe = source.like(name, label=name, shape=shape)
        return self.layout(node, [source], np.arange(math.prod(shape)), probe)

    def layout(self, node: ir.Node, sources: list[Tensor], index: I64, out: Tensor, fill: float = 0.0) -> Tensor:
        """`out` as a rearrangement of tensors of its scale; a source itself where every element stays, or a constant.

        `index`: see LayoutOp; `fill` is a real value.
        """
        x = sources[0]
        integer = int(quantize(np.array([fill], np.float32), out.scale, out.zero_point, kind=out.stored)[0])
        if len(sources) == 1 and x.constant is not None:
            out.constant = np.append(x.constant.reshape(-1), x.stored.dtype.type(integer))[index].reshape(out.shape)
            return out
        if len(sources) == 1 and x.same_order(out) and np.array_equal(index, np.arange(len(index))):
            return x
        self.graph.insert(LayoutOp(node_label(node), node.op_type, sources, out, self._kept(index), integer))
        return out

    def _kept(self, index: I64) -> I64:
        """An equal array that is there already: those of alike layers are, and have as many elements as tensors."""
        alike = self._indexes[len(index), index[:: len(index) // _FEW + 1].tobytes()]
        same = next((other for other in alike if np.array_equal(other, index)), None)
        if same is None:
            alike.append(index)
        return index if same is None else same


def unique_name(name: str | None, taken: Collection[str | None]) -> str:
    """`name`, with a number behind it where it is taken."""
    found, count = name or "?", 0
    while found in taken:
        count += 1
        found = f"{name}:{count}"
    return found
