"""Channels of rows between a norm, a gate or a Relu and the layers behind it get ranges alike (as SmoothQuant, 2022).

One scale holds all channels of an 8-bit tensor, and transformers have channels 20 to 300 times the others. Channel c is
divided by t_c, and row c of the layers' weights multiplied by it:

    t_c = sqrt(a_c / w_c), over its geometric mean
    a_c   largest absolute value on calibration data, at least a quarter of the channels' median: one that the data
          hardly saw is not blown up
    w_c   largest weight relative to its output's largest, as every output has a scale of its own; at least 1e-3

Of int16 rows (`--activations int16`) t_c = 1 / w_c: then weights alone are coarse, and all their rows become as large.

    a norm                gamma and beta take 1 / t; where others read its result too (post-norm), a product with 1 / t
                          stands in front of the layers
    gate(x) * up(x)       the weights and bias of `up` take 1 / t
    Relu of a layer       the layer's weights and bias take 1 / t
    a hidden activation   of another kind: a product stands in front of the layer; only where asked for, as it may lose

The float model computes the same. Not here: the equalization of convolutions (`equalize.py`), which hidden
activations are worth it (`hidden.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.reading import attribute, constant, shape_of
from vlac.rewrite.nodes import Nodes, initializer

__all__ = ["ChannelPeaks", "Peaks", "equalize_rows", "factors", "layer_weights", "layers_behind"]

_NORMS = ("LayerNormalization", "RMSNormalization")
_LEAST_ACTIVATION, _LEAST_WEIGHT = 0.25, 1e-3
_TOLD_APART = 256  # rows and columns of a layer's weights by which it is known
_PART = 64  # rows of weights that are looked at together: what is computed of them stays in the cache
F64 = NDArray[np.float64]
Weights = NDArray[np.floating]
Peaks = MutableMapping[bytes, F64]  # |max| of channels, by the weights of the layers that read them


@dataclass(frozen=True)
class _Link:
    """A value [..., C], and what takes 1 / t: a norm, a layer, or a product to come (None).

    Attributes:
        readers: nodes that read it for layers alone: these, or Reshapes of rows in front of them.
    """

    value: ir.Value
    readers: tuple[ir.Node, ...]
    source: ir.Node | None

    @property
    def layers(self) -> list[ir.Node]:
        """The layers that read it."""
        return layers_behind(self.value, *self.readers)


class ChannelPeaks:
    """Watches |max| of each channel of what can be equalized.

    Attributes:
        names, most: see `Watcher`.
        largest: by name.
    """

    most = None

    def __init__(self, model: ir.Model, hidden: Collection[str] = ()) -> None:
        """Of a rewritten float model, and these other values in front of layers."""
        self.names = [link.value.name for link in _links(model, hidden) if link.value.name]
        self.largest: dict[str, F64] = {}

    def see(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Enter those of one run."""
        for name in self.names:
            peak = np.abs(values[name].reshape(-1, values[name].shape[-1])).max(axis=0).astype(np.float64)
            self.largest[name] = np.maximum(self.largest[name], peak) if name in self.largest else peak


def equalize_rows(
    model: ir.Model,
    largest: Mapping[str, F64],
    hidden: Collection[str] = (),
    peaks: Peaks | None = None,
    *,
    wide: bool = False,
) -> list[str]:
    """Equalize a rewritten float model in place.

    Args:
        largest: |max| of each channel [C] of what can be equalized, by name.
        hidden: names of other values to equalize in front of the layers that read them.
        peaks: what other graphs saw in front of equal layers, joined with what this one sees in front of all of them:
            equal weights, of one graph too, stay equal, so that they are stored once.
        wide: whether the rows are int16.

    Returns:
        The names of the values that were equalized.
    """
    links = [link for link in _links(model, hidden) if link.value.name]
    peaks = {} if peaks is None else peaks
    keys = {str(link.value.name): _key(link) for link in links}
    for name, key in keys.items():
        peaks[key] = np.maximum(largest[name], peaks.get(key, 0.0))
    for link in links:
        weights = [layer_weights(layer) for layer in link.layers]
        t = factors(peaks[keys[str(link.value.name)]], weights, wide=wide)
        _apply(model.graph, link, t)
    return [str(link.value.name) for link in links]


def _key(link: _Link) -> bytes:
    """Of the layers' weights, by some of them: peaks of layers that these do not tell apart serve both."""
    found = hashlib.sha256()
    for layer in link.layers:
        weight = constant(layer.inputs[1])
        assert weight is not None
        rows, columns = (-(-n // _TOLD_APART) for n in weight.shape)
        some = weight[::rows, ::columns]
        found.update(repr((weight.shape, attribute(layer, "transB", 0))).encode() + some.tobytes())
    return found.digest()


def factors(largest: F64, weights: Sequence[Weights], *, wide: bool = False) -> F64:
    """t of the channels.

    Args:
        largest: |max| of each channel [C].
        weights: of each layer, [C, outputs].
        wide: whether the rows are int16.
    """
    median = float(np.median(largest))
    a = np.maximum(largest, median * _LEAST_ACTIVATION if median > 0 else 1.0)
    w = np.maximum(np.max([_relative(each) for each in weights], axis=0), _LEAST_WEIGHT)
    t = 1 / w if wide else np.sqrt(a / w)
    return np.asarray(t / np.exp(np.log(t).mean()))


def _relative(weights: Weights) -> F64:
    """The largest weight of each channel [C] beside the largest of its output."""
    tops = np.maximum(np.maximum(weights.max(axis=0), -weights.min(axis=0)), np.finfo(np.float32).tiny)
    tops = tops.astype(np.float64)
    parts = [weights[first : first + _PART] for first in range(0, len(weights), _PART)]
    return np.concatenate([(np.abs(part) / tops).max(axis=1) for part in parts])


def layers_behind(value: ir.Value, *readers: ir.Node) -> list[ir.Node]:
    """The layers that read rows, themselves or a Reshape of them; through `readers`, or all that read the value."""
    return [layer for reader in readers or value.consumers() for layer in _layers(reader, value)]


# --- which values ---------------------------------------------------------------------------------------


def _links(model: ir.Model, hidden: Collection[str]) -> Iterator[_Link]:
    for node in model.graph:
        value = node.outputs[0]
        readers = tuple(r for r in value.consumers() if _layers(r, value))
        if not readers or node.domain not in ("", "ai.onnx"):
            continue
        alone = len(readers) == len(value.consumers()) and not value.is_graph_output()
        if node.op_type in _NORMS and attribute(node, "axis", -1) in (-1, len(shape_of(value)) - 1):
            yield _Link(value, readers, node if alone and _has_constants(node) else None)
        elif node.op_type == "Mul" and (up := _up(node)) is not None and alone:
            yield _Link(value, readers, up)
        elif node.op_type == "Relu" and (layer := _only_layer(node.inputs[0])) is not None and alone:
            yield _Link(value, readers, layer)
        elif value.name in hidden:
            yield _Link(value, readers, None)


def _layers(reader: ir.Node, value: ir.Value) -> list[ir.Node]:
    """The layers behind a reader of a value: itself, or those that alone read a Reshape of rows."""
    if _is_layer(reader):
        return [reader] if reader.inputs[0] is value else []
    if not _keeps_rows(reader) or reader.outputs[0].is_graph_output():
        return []
    found = [_layers(r, reader.outputs[0]) for r in reader.outputs[0].consumers()]
    return [layer for layers in found for layer in layers] if all(found) else []


def _keeps_rows(node: ir.Node) -> bool:
    rows = node.op_type == "Reshape" and node.domain in ("", "ai.onnx")
    return rows and shape_of(node.inputs[0])[-1:] == shape_of(node.outputs[0])[-1:]


def _is_layer(node: ir.Node) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type not in ("MatMul", "Gemm"):
        return False
    weight = constant(node.inputs[1])
    return weight is not None and weight.ndim == 2 and not attribute(node, "transA", 0)


def _has_constants(node: ir.Node) -> bool:
    return all(v is None or v.const_value is not None for v in node.inputs[1:])


def _up(product: ir.Node) -> ir.Node | None:
    """The layer of gate(x) * up(x) whose result nothing else reads, with a constant bias behind it or none."""
    for value in reversed(product.inputs):
        layer = _only_layer(value)
        if layer is not None and all(v is None or constant(v) is None for v in product.inputs):
            return layer
    return None


def _only_layer(value: ir.Value | None) -> ir.Node | None:
    """The layer that makes a value, or the bias's sum behind it; read by nothing else on the way."""
    node = None if value is None else value.producer()
    if value is None or node is None or len(value.consumers()) != 1 or value.is_graph_output():
        return None
    if node.op_type == "Add" and node.domain in ("", "ai.onnx"):
        computed = [v for v in node.inputs if v is not None and constant(v) is None]
        below = computed[0] if len(computed) == 1 else None
        layer = None if below is None else _only_layer(below)
        return node if layer is not None and layer.op_type != "Add" else None
    if _keeps_rows(node):
        return _only_layer(node.inputs[0])
    return node if _is_layer(node) else None


# --- the factors ----------------------------------------------------------------------------------------


def layer_weights(layer: ir.Node) -> Weights:
    """A layer's weights [C, outputs]."""
    weight = constant(layer.inputs[1])
    assert weight is not None
    return weight.T if layer.op_type == "Gemm" and attribute(layer, "transB", 0) else weight


def _apply(graph: ir.Graph, link: _Link, t: F64) -> None:
    layers = link.layers  # while they are still read from the value itself
    if link.source is None:
        _divide(graph, link, t)
    elif link.source.op_type in _NORMS:
        _scale(graph, link.source, (1, 2), 1 / t)
    elif link.source.op_type == "Add":
        at = 0 if constant(link.source.inputs[0]) is not None else 1
        below = link.source.inputs[1 - at]
        layer = _only_layer(below)
        assert layer is not None
        _scale(graph, link.source, (at,), 1 / t)
        _scale_outputs(graph, layer, 1 / t)
    else:
        _scale_outputs(graph, link.source, 1 / t)
    for layer in layers:
        column = t[None, :] if layer.op_type == "Gemm" and attribute(layer, "transB", 0) else t[:, None]
        _scale(graph, layer, (1,), column)


def _scale_outputs(graph: ir.Graph, layer: ir.Node, factor: F64) -> None:
    """A layer's outputs times a factor: its weights and a Gemm's bias."""
    turned = layer.op_type == "Gemm" and attribute(layer, "transB", 0)
    _scale(graph, layer, (1,), factor[:, None] if turned else factor[None, :])
    _scale(graph, layer, (2,), factor)


def _scale(graph: ir.Graph, node: ir.Node, inputs: tuple[int, ...], factor: F64) -> None:
    """Constants of a node times a factor; each gets one of its own, as nodes share them."""
    for index in inputs:
        value = node.inputs[index] if index < len(node.inputs) else None
        array = constant(value)
        if value is not None and array is not None:
            made = np.empty(np.broadcast_shapes(array.shape, factor.shape), np.float32)
            np.multiply(array, factor, out=made, dtype=np.float64, casting="unsafe")
            node.replace_input_with(index, initializer(graph, f"{value.name}.equalized", made))
            if not value.uses() and not value.is_graph_output():
                del graph.initializers[value.name or ""]  # large models have no room for both


def _divide(graph: ir.Graph, link: _Link, t: F64) -> None:
    """A product with 1 / t in front of the layers."""
    first = next(n for n in graph if n in set(link.readers))
    new = Nodes(graph, first, link.value)
    made = new.add("Mul", [link.value, new.constant((1 / t).astype(np.float32))], shape_of(link.value))
    new.insert()
    for reader in link.readers:
        reader.replace_input_with(0, made)
