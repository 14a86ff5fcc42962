"""Which values of a float model become int16, which of them share a scale, and which int8 values lie around 0.

    wide      what a norm reads and what is added to it (a residual stream), through moves; the model's results, and
              what stands in front of a gate. Values joined by adds and moves have one scale: an add is exact.
    centred   int8 with zero point 0: operands and results of attention, results of norms
    inner     float: what lies between a function of an int16 and the product with one row behind it, as one ROW
              computes both
    cached    the centred keys or values of earlier runs, the new ones, and what they are together: one scale, so that
              what a run returns is what the next one takes, integer for integer. They are never wide. Other carried
              state that cannot be wide too.

A model without norms, attention and carried state has neither. Images never are wide, nor are results of tables and
clamps. Not here: the ranges.

With `--activations int16` what layers with constant weights read and make is wide too, with the sums, products and
functions in between, Relu behind a layer too; Clip, and what attention reads and makes, stay int8.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from vla_isa.integer import INT8, INT16
from vlac.errors import CalibrationError
from vlac.ir.geometry import is_image
from vlac.model.carried import carried_values, shared_values
from vlac.model.clamps import clamp_bounds
from vlac.model.gates import gates_of
from vlac.model.labels import node_label
from vlac.model.reading import expert_choice, is_constant, is_lookup, shape_of
from vlac.ops import BY_NAME
from vlac.quantize.caches import find_caches, moves
from vlac.quantize.parameters import Scale

__all__ = [
    "NORMS",
    "Forms",
    "centred_scale",
    "find_forms",
    "has_sequences",
    "is_function",
    "layers_are_wide",
    "set_activations",
    "wide_scale",
]

NORMS = ("LayerNormalization", "RMSNormalization")
_HEADROOM = 1.25  # over what calibration saw: a sum that saturates costs more than a quarter of a step
_MAKERS = ("Gemm", "MatMul", "Add", "Mul", "Concat", *NORMS)  # of int16, besides inputs and moves
_READERS = ("Add", "Mul", "Concat", "ArgMax", *NORMS)  # of int16, besides moves and gates
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
_SEQUENCE = (*NORMS, "Attention", "RotaryEmbedding")
_SMALLEST = 1e-8
_LAYERS = ("Gemm", "MatMul")
_KEY = "vlac.activations"  # in the model's metadata


@dataclass(frozen=True)
class Forms:
    """Values by form.

    Attributes:
        wide: each int16 value -> the first value of those that share its scale.
        centred: int8 values with zero point 0.
        cached: each value of a cache -> the first value of those that share its scale.
        inner: values that are never stored.
        layers: whether layers read int16.
    """

    wide: dict[ir.Value, ir.Value] = field(default_factory=dict)
    centred: frozenset[ir.Value] = frozenset()
    cached: dict[ir.Value, ir.Value] = field(default_factory=dict)
    inner: frozenset[ir.Value] = frozenset()
    layers: bool = False

    def group(self, value: ir.Value) -> list[ir.Value]:
        """The values that share the scale of a wide one, or of one of a cache."""
        shared = self.cached if value in self.cached else self.wide
        return [v for v, first in shared.items() if first is shared[value]]

    def is_read_wide(self, node: ir.Node) -> bool:
        """Whether an operator of the device reads int16: of its int8 readers each value has a second form."""
        if node.outputs[0] in self.inner or gates_of(node) is not None:
            return True
        if self.layers and (_is_layer(node) or (is_function(node) and node.outputs[0] in self.wide)):
            return True
        return node.op_type in _READERS or (moves(node) and all(v in self.wide for v in node.outputs))


def set_activations(model: ir.Model, name: str, host: Collection[str]) -> None:
    """Write into a float model what its layers read, `int8` or `int16`, for every later pass.

    Args:
        host: names of nodes that are not the device's.

    Raises:
        CalibrationError: int16, and no layer of the device can read it.
    """
    model.metadata_props[_KEY] = name
    if name != INT16.name:
        return
    nodes = [n for n in model.graph if node_label(n) not in host]
    wide = find_forms(model, nodes).wide
    if not any(_is_layer(n) and n.inputs[0] in wide for n in nodes):
        raise CalibrationError(
            "int16 activations would change nothing: no MatMul or Gemm with constant weights reads rows (images, "
            "results of Clip and of attention stay int8); compile without --activations int16"
        )


def layers_are_wide(model: ir.Model) -> bool:
    """Whether layers read int16."""
    return bool(model.metadata_props.get(_KEY) == INT16.name)


def wide_scale(size: float) -> Scale:
    """Of int16 values up to `size`."""
    return Scale(np.float32(max(size, _SMALLEST) * _HEADROOM / INT16.hi), 0, INT16)


def centred_scale(low: float, high: float) -> Scale:
    """Of int8 values around 0."""
    return Scale(np.float32(max(-low, high, _SMALLEST) / INT8.hi), 0)


def has_sequences(model: ir.Model) -> bool:
    """Whether a model has norms or attention."""
    return any(map(_is_sequence, model.graph))


def _is_sequence(node: ir.Node) -> bool:
    return node.op_type in _SEQUENCE and node.domain in ("", "ai.onnx")


def _is_router(node: ir.Node) -> bool:
    """Whether it compares logits: the order of those that are near each other is that of int16.

    Logits that are picked of others are int8, as channels of int16 do not move.
    """
    if node.op_type == "ArgMax":
        source = node.inputs[0]
        while source is not None and (made := source.producer()) is not None and made.op_type in _VIEWS:
            source = made.inputs[0]
        made = None if source is None else source.producer()
        return made is not None and not moves(made)
    return gates_of(node) is not None


def _moves_rows(node: ir.Node) -> bool:
    """Whether it only moves values, and leaves channels channels: bytes of int16 lie in two places."""
    if not moves(node):
        return False
    if node.op_type in ("Reshape", "Flatten"):
        return shape_of(node.inputs[0])[-1:] == shape_of(node.outputs[0])[-1:]
    return True


def is_function(node: ir.Node) -> bool:
    """Whether a node is a function of each element of its only input."""
    spec = BY_NAME.get(node.op_type)
    return spec is not None and spec.function is not None and len(node.inputs) == 1 and node.domain in ("", "ai.onnx")


def _is_layer(node: ir.Node) -> bool:
    """Whether a layer has constant weights, not one of several experts'."""
    known = node.op_type in _LAYERS and node.domain in ("", "ai.onnx") and is_constant(node.inputs[1])
    return known and expert_choice(node.inputs[1]) is None


def _is_wide_function(node: ir.Node) -> bool:
    """Whether it is a function by lines: any but clamps, of which Relu behind a layer is one."""
    made = None if node.inputs[0] is None else node.inputs[0].producer()
    behind = node.op_type == "Relu" and made is not None and _is_layer(made)
    return is_function(node) and (clamp_bounds(node) is None or behind)


def find_forms(model: ir.Model, nodes: Collection[ir.Node]) -> Forms:
    """The forms of the values that `nodes`, those of the device, read and make."""
    inside = set(nodes)
    state = carried_values(model) or shared_values(model)
    layers = layers_are_wide(model)
    if not state and not layers and not any(_is_sequence(n) or _is_router(n) for n in inside):
        return Forms()
    cached = find_caches(model, inside)
    search = _Search(model, inside, cached)
    narrow = [p for p in carried_values(model) if not search.can_be_state(*p)]
    cached = find_caches(model, inside, narrow)
    found = _Search(model, inside, cached)
    return Forms(found.wide(), frozenset(found.centred() | cached.keys()), cached, frozenset(found.scaled()), layers)


class _Search:
    def __init__(self, model: ir.Model, inside: set[ir.Node], cached: Collection[ir.Value]) -> None:
        self._model, self._inside, self._cached = model, inside, cached
        self._first: dict[ir.Value, ir.Value] = {}
        self._layers = layers_are_wide(model)

    # --- wide -----------------------------------------------------------------------------------------

    def wide(self) -> dict[ir.Value, ir.Value]:
        for node in self._model.graph:
            gates = gates_of(node)
            if node in self._inside and (node.op_type in NORMS or _is_router(node)):
                self._add(node.inputs[0] if gates is None else gates.logits)
        for value in self._results():
            self._add(value)
        for given, result in carried_values(self._model):
            if self._can_be(result):
                self._add(given, result)
        for value in self.scaled():
            node = value.producer()
            self._add(None if node is None else node.inputs[0])
        if self._layers:
            self._add_layers()
        return {v: self._root(v) for v in self._first}

    def _add_layers(self) -> None:
        """What layers read and make, but operands of attention."""
        narrow = self.centred(norms=False)
        for node in self._model.graph:
            if node in self._inside and _is_layer(node):
                for value in (node.inputs[0], node.outputs[0]):
                    self._add(None if value in narrow else value)

    def _results(self) -> list[ir.Value]:
        """What the device returns."""
        made = [v for n in self._model.graph if n in self._inside for v in n.outputs]
        return [v for v in made if v.is_graph_output() or any(u not in self._inside for u in v.consumers())]

    def _can_be(self, value: ir.Value) -> bool:
        node = value.producer()
        if value in self._cached:
            return False
        if value.dtype != ir.DataType.FLOAT or is_image(shape_of(value)) or value.const_value is not None:
            return False
        if node is None or node not in self._inside:
            return True
        source = node.inputs[0]
        return (
            node.op_type in _MAKERS
            or is_lookup(node)
            or (_moves_rows(node) and source is not None and self._can_be(source))
            or (self._layers and _is_wide_function(node) and source is not None and self._can_be(source))
        )

    def can_be_state(self, given: ir.Value, result: ir.Value) -> bool:
        """Whether carried state may be int16: nothing that is computed by tables."""
        return self._can_be(result)

    def _root(self, value: ir.Value) -> ir.Value:
        while self._first[value] is not value:
            value = self._first[value]
        return value

    def _add(self, value: ir.Value | None, joined: ir.Value | None = None) -> None:
        """Take a value, and all that must be as it is; `joined` shares its scale."""
        if value is None or not self._can_be(value):
            return
        known = value in self._first
        self._first.setdefault(value, value)
        if joined is not None:
            self._first[self._root(value)] = self._root(joined)
        if known:
            return
        node = value.producer()
        if node is not None and node in self._inside:
            for source in self._sharing(node):
                self._add(source, value)
            if node.op_type == "Mul":  # a gate: both sides are int16, each in its own scale
                for source in node.inputs:
                    self._add(source)
            if self._layers and is_function(node):
                self._add(node.inputs[0])
        for user in value.consumers():
            if user not in self._inside:
                continue
            sums = user.op_type == "Add" and shape_of(user.outputs[0]) == shape_of(value)
            for out in user.outputs if sums or user.op_type == "Concat" or _moves_rows(user) else ():
                self._add(out, value)

    def _sharing(self, node: ir.Node) -> list[ir.Value]:
        """Operands that have the scale of the result."""
        if node.op_type == "Add":  # a row for all pixels has a scale of its own
            return [v for v in node.inputs if v is not None and shape_of(v) == shape_of(node.outputs[0])]
        count = len(node.inputs) if node.op_type == "Concat" else int(_moves_rows(node))
        return [v for v in node.inputs[:count] if v is not None]

    def scaled(self) -> list[ir.Value]:
        """Results of functions that only a product with a constant row reads, and whose operand can be int16."""
        nodes = [n for n in self._model.graph if n in self._inside and is_function(n)]
        return [
            n.outputs[0]
            for n in nodes
            if self._is_scaled(n.outputs[0]) and n.inputs[0] is not None and self._can_be(n.inputs[0])
        ]

    def _is_scaled(self, value: ir.Value) -> bool:
        readers = value.consumers()
        if len(readers) != 1 or readers[0].op_type != "Mul" or readers[0] not in self._inside:
            return False
        rows = [
            shape_of(v) for v in readers[0].inputs if v is not value and v is not None and v.const_value is not None
        ]
        return not value.is_graph_output() and rows == [shape_of(value)[-1:]]

    # --- centred --------------------------------------------------------------------------------------

    def centred(self, *, norms: bool = True) -> set[ir.Value]:
        """What lies around 0; without `norms` what attention reads and makes alone."""
        found: set[ir.Value] = set()
        for node in self._model.graph:
            if node not in self._inside:
                continue
            if node.op_type == "Attention":
                for value in (*node.inputs[:3], *node.outputs):
                    self._centre(value, found)
            elif node.op_type == "RotaryEmbedding":
                for value in (node.inputs[0], node.outputs[0]):
                    self._centre(value, found)
            elif norms and node.op_type in NORMS:
                self._centre(node.outputs[0], found)
        return found - set(self._first)

    def _centre(self, value: ir.Value | None, found: set[ir.Value]) -> None:
        """Take a value and what it is moved from."""
        if value is None or value in found or value.const_value is not None:
            return
        found.add(value)
        node = value.producer()
        if node is not None and node in self._inside and moves(node):
            self._centre(node.inputs[0], found)
