"""Which hidden activations of a model of sequences are worth an equalization of their channels.

A hidden activation f(x) between two layers of rows is a table of 256 entries behind the first layer. Where few of its
channels are much larger than the others, the second layer loses; divided by t (`equalize_rows.py`) it is computed of
an int16 x, by lines, in an instruction of its own. That is taken where it leaves a third of the second layer's error on
calibration data, both ways as the machine computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vlac.model.reading import shape_of
from vlac.ops import BY_NAME
from vlac.quantize.equalize_rows import factors, layer_weights, layers_behind
from vlac.quantize.parameters import activation_scale, quantize_array, quantize_weight
from vlac.quantize.wide import is_function, wide_scale

__all__ = ["HiddenInputs", "hidden_values", "layer_error"]

F64 = NDArray[np.float64]
_SAMPLES = 8  # runs of the float model
_ROWS, _VALUES, _OUTPUTS = 4096, 1 << 22, 512  # of all samples, at most: the errors compared differ threefold
_WORTH = 1 / 3  # of the error's power; without outliers, the int16 x alone leaves nearly half


class HiddenInputs:
    """Watches what hidden activations of a float model are functions of.

    Attributes:
        names, most: see `Watcher`.
        results: names of the activations, all of which may be worth it.
    """

    most = _SAMPLES

    def __init__(self, model: ir.Model) -> None:
        self.nodes = list(_candidates(model))
        self.names = [str(n.inputs[0].name) for n in self.nodes if n.inputs[0] is not None]
        self.results = [str(n.outputs[0].name) for n in self.nodes]
        self.seen: list[list[NDArray[Any]]] = []  # of each run

    def see(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Keep them."""
        self.seen.append([values[name] for name in self.names])


def hidden_values(watched: HiddenInputs, largest: Mapping[str, F64]) -> list[str]:
    """The names of the hidden activations to equalize.

    Args:
        largest: |max| of each of their channels [C], by name, as `ChannelPeaks` saw it.
    """
    found = []
    for i, node in enumerate(watched.nodes):
        rows = np.concatenate([arrays[i].reshape(-1, arrays[i].shape[-1]) for arrays in watched.seen])
        x = rows[_spread(len(rows), min(_ROWS, _VALUES // rows.shape[1]))].astype(np.float64)
        spec = BY_NAME[node.op_type]
        assert spec.function is not None
        function = spec.function

        def f(values: F64, node: ir.Node = node, function: Callable[..., NDArray[np.float32]] = function) -> F64:
            return function(node, values.astype(np.float32)).astype(np.float64)

        layers = [layer_weights(layer) for layer in layers_behind(node.outputs[0])]
        t = factors(largest[watched.results[i]], layers)
        outputs = np.concatenate(layers, axis=1)
        weights = outputs[:, _spread(outputs.shape[1], _OUTPUTS)].astype(np.float64)
        exact = f(x) @ weights
        if layer_error(x, f, weights, exact, t) < _WORTH * layer_error(x, f, weights, exact):
            found.append(watched.results[i])
    return found


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """So many of 0..count - 1 at most, at least one, evenly."""
    return np.linspace(0, count - 1, min(count, max(most, 1))).astype(np.intp)


def layer_error(x: F64, function: Callable[[F64], F64], weights: F64, exact: F64, t: F64 | None = None) -> float:
    """Mean squared error of function(x) @ weights in 8 bits: of an 8-bit x by a table, or divided by t.

    Args:
        x: [rows, C].
        weights: [C, outputs].
        exact: what it is in float.
    """
    if t is None:
        h = _rounded(function(_rounded(x)))
        w = weights
    else:
        h, w = _rounded(_by_lines(x, function) / t), weights * t[:, None]
    integers, scales = quantize_weight(w.astype(np.float32), 1)
    found = h @ (integers.astype(np.float64) * scales)
    return float(np.square(found - exact).mean())


def _by_lines(x: F64, function: Callable[[F64], F64]) -> F64:
    """The function of an int16 x, a line between 257 points."""
    points = np.arange(INT8.lo, INT8.hi + 2) * 256 * float(wide_scale(float(np.abs(x).max())).scale)
    return np.asarray(np.interp(x, points, function(points.astype(np.float64))))


def _rounded(array: F64) -> F64:
    """As int8, back in real numbers."""
    scale = activation_scale(float(array.min()), float(array.max()))
    q = quantize_array(array, scale).astype(np.float64)
    return np.asarray((q - scale.zero_point) * float(scale.scale))


def _candidates(model: ir.Model) -> Iterator[ir.Node]:
    """Functions of rows between layers."""
    for node in model.graph:
        value = node.outputs[0]
        if is_function(node) and value.name and not value.is_graph_output() and len(shape_of(value)) in (2, 3):
            readers = value.consumers()
            if readers and all(layers_behind(value, reader) for reader in readers):
                yield node
