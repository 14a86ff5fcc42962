"""What multiplies and adds a constant per channel behind a layer goes into its weights and bias.

Behind Conv, ConvTranspose, Gemm or MatMul: BatchNormalization, Mul, Div, Add, Sub and Neg in any order, as frameworks
write batch normalization. In front of a Conv: one factor for all channels, and what is added where nothing is padded;
factors per input channel stay, as int8 weights have a scale per output channel only. Values that are also read
elsewhere, or are outputs, stay; so does what reads a model input, which the host computes in float.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, constant_input, shape_of
from vlac.rewrite.nodes import initializer

__all__ = ["fold_affine"]

F64 = NDArray[np.float64]
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class _Affine:
    """y = factor * x + offset, float64 [C] both."""

    factor: F64
    offset: F64

    def then(self, other: _Affine) -> _Affine:
        """First this one, then the other."""
        return _Affine(other.factor * self.factor, other.factor * self.offset + other.offset)


def fold_affine(model: ir.Model) -> None:
    """Rewrite every such layer of a float model, in place."""
    for node in list(model.graph):
        if node.op_type in _LAYERS and node.domain in ("", "ai.onnx") and _is_constant_layer(node):
            _fold_in_front(model.graph, _fold_behind(model.graph, node))


def _is_constant_layer(node: ir.Node) -> bool:
    """Constant float32 weights, and a constant bias of one row where there is one."""
    weight, bias = constant_input(node, 1), constant_input(node, 2)
    rank = 2 if node.op_type in ("Gemm", "MatMul") else len(shape_of(node.inputs[0]))
    if weight is None or weight.dtype != np.float32 or weight.ndim != rank:
        return False
    if constant(node.inputs[0]) is not None or shape_of(node.outputs[0]) == ():
        return False
    given = len(node.inputs) > 2 and node.inputs[2] is not None
    return not given or (bias is not None and (bias.ndim < 2 or bias.shape[0] == 1))


# --- behind ---------------------------------------------------------------------------------------------


def _fold_behind(graph: ir.Graph, node: ir.Node) -> ir.Node:
    """The layer that stands for the node and what follows it."""
    channel = 1 if "Conv" in node.op_type else len(shape_of(node.outputs[0])) - 1
    size = shape_of(node.outputs[0])[channel]
    total, chain = _Affine(np.ones(size), np.zeros(size)), [node]
    while True:
        value = chain[-1].outputs[0]
        user = _only_reader(value)
        step = _affine(user, value, channel) if user is not None else None
        if user is None or step is None:
            break
        total = total.then(step)
        chain.append(user)
    if len(chain) == 1 or (node.op_type == "MatMul" and (total.factor == 1).all()):
        return node  # a MatMul and an Add become a Gemm elsewhere
    weight, bias = _weight_and_bias(node)
    weight, bias = weight * _along_outputs(node, weight, total.factor), bias * total.factor + total.offset
    return _rebuilt(graph, chain, node.inputs[0], weight, bias) if _is_float32(weight, bias) else node


def _weight_and_bias(node: ir.Node) -> tuple[F64, F64]:
    weight, given = constant_input(node, 1), constant_input(node, 2)
    assert weight is not None
    beta = float(attribute(node, "beta", 1.0))
    return weight.astype(np.float64), np.zeros(1) if given is None else given.reshape(-1).astype(np.float64) * beta


def _rebuilt(graph: ir.Graph, chain: list[ir.Node], x: ir.Value | None, weight: F64, bias: F64) -> ir.Node:
    """A layer like the first of the chain that reads `x` and stands for the whole of it."""
    node, out = chain[0], chain[-1].outputs[0]
    name = node.outputs[0].name
    attributes = {k: a.value for k, a in node.attributes.items() if k != "beta"}
    op = node.op_type
    if op == "MatMul" and len(shape_of(x)) == 2:
        op = "Gemm"
    inputs = [x, initializer(graph, f"{name}.weight", weight.astype(np.float32))]
    channels = shape_of(node.outputs[0])[1 if "Conv" in op else -1]
    row = (
        initializer(graph, f"{name}.bias", np.broadcast_to(bias, (channels,)).astype(np.float32))
        if bias.any()
        else None
    )
    if row is not None and op != "MatMul":
        inputs.append(row)
    layer = ir.node(op, inputs, attributes, name=node.name)
    made = [layer]
    if row is not None and op == "MatMul":
        layer.outputs[0].shape, layer.outputs[0].dtype = node.outputs[0].shape, node.outputs[0].dtype
        made.append(ir.node("Add", [layer.outputs[0], row]))
    ir.convenience.replace_nodes_and_values(graph, chain[-1], chain[::-1], made, [out], [made[-1].outputs[0]])
    return layer


def _is_float32(*arrays: F64) -> bool:
    """Whether all of them are numbers that float32 holds."""
    return all(bool((np.abs(v) <= np.finfo(np.float32).max).all()) for v in arrays)


def _only_reader(value: ir.Value) -> ir.Node | None:
    uses = value.uses()
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def _affine(node: ir.Node, x: ir.Value, channel: int) -> _Affine | None:
    """What a node does to each channel of `x`, or None where it is anything else."""
    if node.domain not in ("", "ai.onnx"):
        return None
    shape = shape_of(x)
    size = shape[channel]
    if node.op_type == "Neg":
        return _Affine(np.full(size, -1.0), np.zeros(size))
    if node.op_type == "BatchNormalization":
        return _batch_norm(node) if channel == 1 and node.inputs[0] is x else None
    if node.op_type not in ("Mul", "Div", "Add", "Sub") or shape_of(node.outputs[0]) != shape:
        return None
    first = node.inputs[0] is x
    other = _per_channel(constant(node.inputs[1 if first else 0]), len(shape), channel, size)
    if other is None:
        return None
    one, none = np.ones(size), np.zeros(size)
    if node.op_type == "Mul":
        return _Affine(other, none)
    if node.op_type == "Div":
        return _Affine(1 / other, none) if first and (other != 0).all() else None
    if node.op_type == "Add":
        return _Affine(one, other)
    return _Affine(one, -other) if first else _Affine(-one, other)


def _per_channel(array: NDArray[np.generic] | None, rank: int, channel: int, size: int) -> F64 | None:
    """A float32 constant that is the same along all axes but the channels', as [C]."""
    if array is None or array.dtype != np.float32 or array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(n != 1 for i, n in enumerate(shape) if i != channel) or shape[channel] not in (1, size):
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (size,))


def _batch_norm(node: ir.Node) -> _Affine | None:
    parts = [constant_input(node, i) for i in range(1, 5)]
    if attribute(node, "training_mode", 0) or any(p is None for p in parts):
        return None
    scale, bias, mean, var = (p.astype(np.float64) for p in parts if p is not None)
    if not (var >= 0).all():
        return None
    factor = scale / np.sqrt(var + attribute(node, "epsilon", 1e-5))
    return _Affine(factor, bias - mean * factor)


def _along_outputs(node: ir.Node, weight: NDArray[np.generic], factor: F64) -> F64:
    """Factors [C] in the shape that multiplies the layer's weights."""
    if node.op_type == "Conv":
        return factor.reshape(-1, *[1] * (weight.ndim - 1))
    if node.op_type == "ConvTranspose":  # [I, O / group, ...]
        group = int(attribute(node, "group", 1))
        per_row = np.repeat(factor.reshape(group, -1), weight.shape[0] // group, axis=0)
        return per_row.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
    return factor[:, None] if node.op_type == "Gemm" and attribute(node, "transB", 0) else factor


# --- in front -------------------------------------------------------------------------------------------


def _fold_in_front(graph: ir.Graph, node: ir.Node) -> None:
    """Take one factor and offsets into the layer, step by step."""
    while node.op_type != "ConvTranspose" and not attribute(node, "transA", 0):
        value = node.inputs[0]
        step = value.producer() if value is not None else None
        if value is None or step is None or _only_reader(value) is None:
            return
        source = next((v for v in step.inputs if v is not None and constant(v) is None), None)
        if source is None or _is_of_model_input(source):
            return
        channel = 1 if node.op_type == "Conv" else len(shape_of(value)) - 1
        affine = _affine(step, source, channel) if shape_of(source) == shape_of(value) else None
        if affine is None or (affine.factor != affine.factor[0]).any() or (affine.offset.any() and _is_padded(node)):
            return
        weight, bias = _weight_and_bias(node)
        weight, bias = weight * affine.factor[0], bias + _summed(node, weight, affine.offset)
        if not _is_float32(weight, bias):
            return
        node = _rebuilt(graph, [node], source, weight, bias)
        graph.remove(step, safe=True)


def _is_of_model_input(value: ir.Value | None) -> bool:
    """Whether a value is a model input, or made of one and constants by other operators than layers."""
    while value is not None and not value.is_graph_input():
        node = value.producer()
        if node is None or node.op_type in _LAYERS:
            return False
        computed = [v for v in node.inputs if v is not None and constant(v) is None]
        value = computed[0] if len(computed) == 1 else None
    return value is not None


def _is_padded(node: ir.Node) -> bool:
    if node.op_type != "Conv" or attribute(node, "auto_pad", "NOTSET") == "VALID":
        return False
    return attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "") or any(attribute(node, "pads", None) or ())


def _summed(node: ir.Node, weight: F64, offset: F64) -> F64:
    """What a constant per input channel adds to each output channel."""
    if node.op_type == "Conv":
        group = int(attribute(node, "group", 1))
        by_group = weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1).sum(axis=-1)
        return np.asarray(np.einsum("goi,gi->go", by_group, offset.reshape(group, -1)).reshape(-1), np.float64)
    if node.op_type == "Gemm":
        alpha = float(attribute(node, "alpha", 1.0))
        return alpha * (weight @ offset if attribute(node, "transB", 0) else offset @ weight)
    return np.asarray(offset @ weight, np.float64)
