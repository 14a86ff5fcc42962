"""Put QuantizeLinear and DequantizeLinear into a float model, with the ranges of its activations.

    an activation   one pair behind what makes it; every reader on the device, and the model's output, reads the pair's
                    result, so a tensor has one scale, and it is its own
    a weight, bias  integers with a DequantizeLinear, one copy a layer: layers may share a float weight
    int16           what `wide.py` says; readers that take int8 only read a second pair behind the first
    stays float     what lies between an operator and the one Relu or Clip that reads it (a clamp of its integers),
                    inside chains that become one table, and around nodes that are excluded

An operator that only moves values hands its input's scale on. Not here: the ranges (`ranges.py`, `known_ranges.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.analysis.chains import Chain, find_chains
from vlac.import_onnx.names import name_all, unique_name
from vlac.lowering.spec import OpSpec
from vlac.model.clamps import clamp_bounds, clamped_result
from vlac.model.gates import gates_of, is_inside_gates
from vlac.model.labels import LABEL, node_label
from vlac.model.reading import attribute, constant_input, expert_choice, is_lookup, shape_of
from vlac.ops import BY_NAME
from vlac.quantize.handed_on import hands_on, joined_in
from vlac.quantize.parameters import (
    Scale,
    activation_scale,
    least_weight_scale,
    quantize_array,
    quantize_bias,
    quantize_weight,
)
from vlac.quantize.wide import Forms, centred_scale, find_forms, wide_scale
from vlac.rewrite.nodes import initializer
from vlac.rewrite.sequence.opset import raise_opset

__all__ = ["Operand", "Range", "Ranges", "activations", "far_biases", "insert_qdq", "observable"]

Range = tuple[float, float]
Operand = tuple[str, int]  # node and input


F32 = NDArray[np.float32]
_FAR = 8.0  # times the result's range: biases beyond are looked at
_WIDE_OPSET = 21  # the first with Q/DQ of int16
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# operators whose other inputs are numbers of their own
_DATA_INPUTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(
        ("Clip", "Resize", "Pad", "Dropout", "LayerNormalization", "RMSNormalization", "RotaryEmbedding"), (0,)
    ),
    "Attention": (0, 1, 2, 4, 5),
    "TensorScatter": (0, 1),
}


@dataclass(frozen=True)
class Ranges:
    """Of activations, by name; and of constant operands that are cut (others keep the range of their values)."""

    values: Mapping[str, Range]
    constants: Mapping[Operand, Range] = field(default_factory=dict)


def insert_qdq(
    model: ir.Model, ranges: Ranges, *, exclude: Collection[str] = (), only: Collection[str] | None = None
) -> ir.Model:
    """A copy of a float model with Q/DQ around all supported nodes, or around those named in `only`.

    Args:
        ranges: by name of each value that `activations` lists.
        exclude: names of nodes that stay float.
    """
    copy = model.clone()
    _Inserter(copy, ranges, exclude, only).run()
    for name, value in list(copy.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():  # a float one that integers stand for
            del copy.graph.initializers[name]
    name_all(copy)
    return copy


def activations(model: ir.Model, exclude: Collection[str] = (), only: Collection[str] | None = None) -> list[ir.Value]:
    """The values of a float model that get a pair, in the order they are made."""
    quantized = _quantized_nodes(model, exclude, only)
    forms = find_forms(model, quantized)
    chains = _tables(model, forms, exclude, only)
    inner = {name for c in chains for name in c.nodes}
    ends = {name for c in chains for name in (c.source, c.result)}
    found: dict[ir.Value, None] = {}
    for node in quantized:
        if node_label(node) in inner:
            continue
        found |= {v: None for v in _operands(node) if v.const_value is None}
        if BY_NAME[node.op_type].quantize_result and not is_inside_gates(node):
            found |= {v: None for v in node.outputs if v.name and v.dtype == ir.DataType.FLOAT}
    values = [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]
    names = {node_label(n) for n in quantized}
    ends -= {v.name for v in values if v.dtype != ir.DataType.FLOAT}  # a truth value is no tensor of the device
    stored = [v for v in values if v not in forms.inner]
    return [v for v in stored if v.name in ends or (v in found and not _is_clamped(v, names, forms))]


def observable(model: ir.Model, exclude: Collection[str] = ()) -> list[ir.Value]:
    """Every float value that a node which can be quantized reads or makes."""
    nodes = _quantized_nodes(model, exclude, None)
    found = {v for n in nodes for v in (*_operands(n), *n.outputs) if v.dtype == ir.DataType.FLOAT and v.name}
    values = [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]
    return [v for v in values if v in found]


def _quantized_nodes(model: ir.Model, exclude: Collection[str], only: Collection[str] | None) -> list[ir.Node]:
    out = []
    for node in model.graph:
        spec, label = _spec(node), node_label(node)
        weight = bool(node.outputs) and expert_choice(node.outputs[0]) is not None
        if spec is None or not spec.quantize or weight:
            continue
        if label not in exclude and (only is None or label in only):
            out.append(node)
    return out


def _tables(model: ir.Model, forms: Forms, exclude: Collection[str], only: Collection[str] | None) -> list[Chain]:
    """Chains of functions that become one table each: of int8, so none that an int16 is part of."""
    wide = {v.name for v in forms.wide}
    parts = {node_label(n): {v.name for v in (*n.inputs, *n.outputs) if v is not None} for n in model.graph}
    found = [c for c in find_chains(model, exclude) if only is None or c.nodes[0] in only]
    return [c for c in found if not any(parts[name] & wide for name in c.nodes)]


def _spec(node: ir.Node) -> OpSpec | None:
    return BY_NAME.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def _operands(node: ir.Node) -> list[ir.Value]:
    """Float inputs that are data: neither weights, biases nor an operator's own numbers."""
    gates = gates_of(node)
    if gates is not None:  # what is inside is never stored
        return [gates.logits] if node is gates.nodes[0] else []
    numbers = _DATA_INPUTS.get(node.op_type, range(len(node.inputs)))
    found = [node.inputs[i] for i in numbers if i < len(node.inputs)]
    found = [v for v in found if v is not None and v.dtype == ir.DataType.FLOAT]
    if node.op_type not in _LAYERS:
        return found
    return [v for v in found if v.const_value is None and expert_choice(v) is None]


def _is_clamped(value: ir.Value, quantized: Collection[str], forms: Forms) -> bool:
    """Whether all that reads a value is one Relu or Clip on the device, which then clamps the integers behind it."""
    readers = value.consumers()
    if len(readers) == 1 and readers[0].outputs[0] in forms.inner:
        return False
    if len(readers) != 1 or value.is_graph_output() or node_label(readers[0]) not in quantized:
        return False
    return readers[0].inputs[0] is value and clamp_bounds(readers[0]) is not None


class _Inserter:
    """One model while the pairs are put in."""

    def __init__(self, model: ir.Model, ranges: Ranges, exclude: Collection[str], only: Collection[str] | None) -> None:
        self.model, self.graph = model, model.graph
        self.ranges = ranges
        self.nodes = _quantized_nodes(model, exclude, only)
        self.forms = find_forms(model, self.nodes)
        self.float_inside = {n for c in _tables(model, self.forms, exclude, only) for n in c.nodes}
        self.values = activations(model, exclude, only)
        self.scales: dict[ir.Value, Scale] = {}
        self.narrow: dict[ir.Value, Scale] = {}  # of the second pairs of int16 values

    def run(self) -> None:
        device = {n for n in self.graph if n in set(self.nodes) or node_label(n) in self.float_inside}
        for value in self.values:
            self.scales[value] = self._scale(value, device)
            if value in self.forms.wide:
                self._narrow(value, device)
        if self.forms.wide:
            raise_opset(self.model, _WIDE_OPSET)
        parameters: dict[Scale, tuple[ir.Value, ir.Value]] = {}
        pairs = {v: self._pair(v, self.scales[v], parameters) for v in self.values}
        narrow = {v: self._pair(pairs[v], scale, parameters) for v, scale in self.narrow.items()}
        for node in self.nodes:
            if node_label(node) in self.float_inside:
                continue
            if node.op_type in _LAYERS:
                self._layer(node)
            else:
                self._constants(node, parameters)
        made = {v for node in device for v in node.outputs}
        for value, real in pairs.items():
            if value in narrow:
                self._connect(value, narrow[value], self._narrow_readers(value, device))
            self._connect(value, real, device if value not in made else None)

    def _narrow_readers(self, value: ir.Value, device: Collection[ir.Node]) -> list[ir.Node]:
        """What takes an int16 value as int8 only."""
        return [u for u in value.consumers() if u in device and not self.forms.is_read_wide(u)]

    def _narrow(self, value: ir.Value, device: Collection[ir.Node]) -> None:
        """Choose the scale of an int16 value's second pair, where something needs one."""
        readers = self._narrow_readers(value, device)
        if readers:
            found = self.ranges.values[value.name or ""]
            centred = any(u.op_type == "Attention" for u in readers)
            self.narrow[value] = centred_scale(*found) if centred else activation_scale(*found)

    def _scale(self, value: ir.Value, device: Collection[ir.Node]) -> Scale:
        """A value's own scale, or the one that is handed on to it, or that it shares."""
        if value in self.forms.wide or value in self.forms.cached:
            found = [self.ranges.values.get(v.name or "", (0.0, 0.0)) for v in self.forms.group(value)]
            size = max(float(np.abs(ends).max()) for ends in found)
            return wide_scale(size) if value in self.forms.wide else centred_scale(-size, size)
        node = value.producer()
        if node is not None and node in device and hands_on(node):
            source = node.inputs[0]
            if source in self.scales:
                return self.narrow.get(source, self.scales[source])
        if value in self.forms.centred:
            return centred_scale(*self.ranges.values[value.name or ""])
        joined = joined_in(value, device, self.values, self.forms)
        if joined is not None:
            return self._scale(joined, device)
        return activation_scale(*self.ranges.values[value.name or ""])

    def _node(self, op: str, inputs: Sequence[ir.Value], like: ir.Value, dtype: ir.DataType, wish: str) -> ir.Node:
        node = ir.node(op, inputs, name=unique_name(self.graph, wish))
        out = node.outputs[0]
        out.name, out.dtype, out.shape = node.name, dtype, like.shape
        return node

    # --- activations ----------------------------------------------------------------------------------

    def _parameters(
        self, scale: Scale, label: str, known: dict[Scale, tuple[ir.Value, ir.Value]]
    ) -> tuple[ir.Value, ir.Value]:
        if scale not in known:
            known[scale] = (
                initializer(self.graph, f"{label}.scale", np.array(scale.scale, np.float32)),
                initializer(self.graph, f"{label}.zero_point", np.array(scale.zero_point, scale.kind.dtype)),
            )
        return known[scale]

    def _pair(self, value: ir.Value, scale: Scale, known: dict[Scale, tuple[ir.Value, ir.Value]]) -> ir.Value:
        """Q and DQ behind a value; returns the result of the DQ, which nothing reads yet."""
        label = value.name or "value"
        parameters = self._parameters(scale, label, known)
        integers = ir.DataType.from_numpy(scale.kind.dtype)
        q = self._node("QuantizeLinear", [value, *parameters], value, integers, f"{label}.quantized")
        dq = self._node("DequantizeLinear", [q.outputs[0], *parameters], value, ir.DataType.FLOAT, f"{label}.real")
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(self.graph[0], [q, dq])
        else:
            self.graph.insert_after(producer, [q, dq])
        return dq.outputs[0]

    def _connect(self, value: ir.Value, real: ir.Value, readers: Collection[ir.Node] | None) -> None:
        """Let `readers` (None: all, and the model's output) read `real` in place of `value`."""
        for node, index in list(value.uses()):
            if node.op_type != "QuantizeLinear" and (readers is None or node in readers):
                node.replace_input_with(index, real)
        if readers is None and value.is_graph_output():
            name = value.name or ""
            value.name = unique_name(self.graph, f"{name}.float")
            value.metadata_props[LABEL] = name
            for index, out in enumerate(self.graph.outputs):
                if out is value:
                    self.graph.outputs[index] = real
            real.name = name

    # --- constants ------------------------------------------------------------------------------------

    def _constants(self, node: ir.Node, known: dict[Scale, tuple[ir.Value, ir.Value]]) -> None:
        """Constant operands of an element by element operator, each in a scale of its own, but those of a cache."""
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None or value not in _operands(node):
                continue
            array = value.const_value.numpy()
            found = self.ranges.constants.get((node_label(node), index))
            scale = activation_scale(*(found or (float(array.min()), float(array.max()))))
            if is_lookup(node) or (node.op_type == "Concat" and node.outputs[0] in self.forms.cached):
                scale = self.scales[node.outputs[0]]
            elif node.op_type == "Attention":
                scale = centred_scale(float(array.min()), float(array.max()))
            elif any(v in self.forms.wide or v in self.forms.inner for v in (*node.inputs, *node.outputs)):
                scale = self._wide_constant(node, float(np.abs(array).max(initial=0)))
            q = initializer(self.graph, f"{value.name}.integers", quantize_array(array, scale))
            self._dequantize(node, index, [q, *self._parameters(scale, f"{value.name}", known)])

    def _wide_constant(self, node: ir.Node, size: float) -> Scale:
        """The scale of a constant operand beside int16: that of an int16 result where it is added and fits."""
        shared = self.scales.get(node.outputs[0])
        fits = node.outputs[0] in self.forms.wide and shared is not None and size <= shared.limits[1]
        return shared if node.op_type == "Add" and fits and shared is not None else wide_scale(size)

    def _dequantize(self, node: ir.Node, index: int, inputs: Sequence[ir.Value], axis: int | None = None) -> None:
        value = node.inputs[index]
        assert value is not None
        dq = self._node("DequantizeLinear", inputs, value, ir.DataType.FLOAT, f"{value.name}.real")
        if axis is not None:
            dq.attributes["axis"] = ir.AttrInt64("axis", axis)
        self.graph.insert_before(node, dq)
        node.replace_input_with(index, dq.outputs[0])

    def _layer(self, node: ir.Node) -> None:
        """Weight and bias of a layer; one that is computed has a pair of its own, as any operand."""
        source, weight = node.inputs[0], node.inputs[1]
        assert source is not None and weight is not None
        if source in self.scales and expert_choice(weight) is not None:
            self._experts(node, self.narrow.get(source, self.scales[source]).scale)
        if weight.const_value is None or source not in self.scales:
            return
        array, axis = weight.const_value.numpy(), _weight_axis(node)
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        c = None if bias is None or bias.const_value is None else bias.const_value.numpy()
        read_wide = source in self.forms.wide and self.forms.is_read_wide(node)
        given = self.scales[source] if read_wide else self.narrow.get(source, self.scales[source])
        input_scale = given.scale
        if c is not None and c.ndim == 1 and node.op_type != "ConvTranspose":
            c = self._cut_bias(node, c, array, axis, given)
        groups = attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1
        least = None
        if c is not None and c.ndim == 1:
            least = least_weight_scale(c, input_scale).reshape(groups, -1).max(axis=0)
        q, scales = quantize_weight(array.reshape(1, -1) if array.ndim < 2 else array, axis, least)
        if array.ndim < 2:  # a vector: one output, one scale
            q, scales = q.reshape(array.shape), scales.reshape(())
        self._scaled(node, 1, q, scales, axis if array.ndim > 1 else None)
        if c is not None and c.ndim == 1:
            self._scaled(node, 2, *quantize_bias(c, input_scale, np.tile(scales, groups)), 0)

    def _experts(self, node: ir.Node, input_scale: np.float32) -> None:
        """Weights and biases of all experts of a layer: they share their scales, so that an integer is one number."""
        weights, biases = expert_choice(node.inputs[1]), expert_choice(node.inputs[2]) if len(node.inputs) > 2 else None
        assert weights is not None and weights.inputs[0] is not None
        given = weights.inputs[0]
        array, axis = given.const_value.numpy(), _weight_axis(node) + 1
        c = biases.inputs[0].const_value.numpy() if biases is not None else constant_input(node, 2)
        least = None if c is None else least_weight_scale(c, input_scale).reshape(-1, array.shape[axis]).max(axis=0)
        q, scales = quantize_weight(array, axis, least)
        self._scaled(weights, 0, q, scales, axis)
        if c is not None:
            holder, index = (node, 2) if biases is None else (biases, 0)
            self._scaled(holder, index, *quantize_bias(c, input_scale, scales), c.ndim - 1)

    def _scaled(
        self, node: ir.Node, index: int, integers: NDArray[np.int8] | NDArray[np.int32], scales: F32, axis: int | None
    ) -> None:
        """Let a node read a constant as integers, with scales along an axis."""
        value = node.inputs[index]
        assert value is not None
        parts = [
            initializer(self.graph, f"{value.name}.integers", integers),
            initializer(self.graph, f"{value.name}.scale", scales),
        ]
        self._dequantize(node, index, parts, axis)

    def _cut_bias(self, node: ir.Node, bias: F32, weight: F32, axis: int, source: Scale) -> F32:
        """A bias of -1e9 ("never") as far as the result can tell: with more, the channel is at the end of its range for
        any input, and its weights would have to be rounded to the scale of such a bias.
        """
        out = self.scales.get(clamped_result(node.outputs[0]))
        if out is None:
            return bias
        (low, high), far = out.limits, far_biases(bias, out)
        if not far.size:
            return bias
        rows = np.abs(np.moveaxis(weight, axis, 0)[far].reshape(far.size, -1)).sum(axis=1, dtype=np.float64)
        reach = rows * max(map(abs, source.limits)) + (high - low)
        cut = bias.copy()
        cut[far] = np.clip(bias[far], low - reach, high + reach)
        return cut


def far_biases(bias: F32, out: Scale) -> NDArray[np.intp]:
    """The channels whose bias lies so far beyond the result's range that it is cut."""
    low, high = out.limits
    return np.flatnonzero((bias < low - _FAR * (high - low)) | (bias > high + _FAR * (high - low)))


def _weight_axis(node: ir.Node) -> int:
    """The axis of a layer's output channels in its weight (of a grouped ConvTranspose, of one group's)."""
    if node.op_type in ("Conv", "ConvTranspose"):
        return 0 if node.op_type == "Conv" else 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return max(len(shape_of(node.inputs[1])) - 1, 0)
