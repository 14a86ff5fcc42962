"""QONNX (Brevitas, FINN, hls4ml): `Quant` nodes round a float value to a grid and give it back as float.

`Quant(x, scale, zero_point, bits)` is QuantizeLinear, a Clip where fewer than 8 bits are used, and DequantizeLinear.
Of a constant it is the constant's integers with a DequantizeLinear (up to 32 bits, so biases too). Definition:
https://github.com/fastmachinelearning/qonnx/blob/main/docs/qonnx-custom-ops/quant_op.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from vlac.errors import UnsupportedError
from vlac.import_onnx.names import untaken
from vlac.quantize.dialects.qonnx_rounding import MODES, machine_rounding, round_constant
from vlac.quantize.rounding import mark_rounding

__all__ = ["DOMAINS", "from_qonnx", "uses_qonnx"]

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_QUANT = ("Quant", "IntQuant")


def uses_qonnx(model: onnx.ModelProto) -> bool:
    """Whether a model has Quant nodes."""
    return any(n.domain in DOMAINS and n.op_type in _QUANT for n in model.graph.node)


def from_qonnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every Quant node replaced; other models as they are.

    Raises:
        UnsupportedError: every Quant node that int8 or uint8 cannot express, with the reason.
    """
    if not uses_qonnx(model):
        return model
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    taken = {t.name for t in (*graph.initializer, *graph.input, *graph.output)}
    taken |= {name for n in graph.node for name in (n.name, *n.input, *n.output)}
    nodes: list[onnx.NodeProto] = []
    quants: list[_Quant] = []
    reasons: list[str] = []
    for node in graph.node:
        if node.domain not in DOMAINS or node.op_type not in _QUANT:
            nodes.append(node)
            continue
        try:
            quant = _Quant.of(node, constants, taken)
            replaced, added = quant.nodes()
            quants.append(quant)
        except UnsupportedError as e:
            reasons += e.reasons
            continue
        nodes += replaced
        graph.initializer.extend(added)
    reasons += _mark(out, quants)
    if reasons:
        raise UnsupportedError(reasons)
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    for domain in [o for o in out.opset_import if o.domain in DOMAINS]:
        out.opset_import.remove(domain)
    return out


def _mark(model: onnx.ModelProto, quants: list[_Quant]) -> list[str]:
    """Write into a model how its activations are rounded; returns why that cannot be, if so."""
    producers = {name: n for n in model.graph.node for name in n.output}
    inputs = {v.name for v in model.graph.input}
    reasons, found = [], dict[str, str]()
    for quant in (q for q in quants if q.constant is None):
        source = quant.node.input[0]
        while source in producers and producers[source].op_type not in _QUANT and producers[source].input:
            source = producers[source].input[0]
        if source not in inputs:
            found.setdefault(quant.rounding or "", quant.where)
        elif quant.rounding != "nearest-even":
            reasons.append(
                f"{quant.where}: a model input is rounded to nearest even, not by {quant.mode}; use ROUND there"
            )
    if len(found) > 1:
        (a, first), (b, second) = list(found.items())[:2]
        reasons.append(f"{first} rounds by {a} and {second} by {b}; a program rounds in one way")
    for name in list(found)[:1]:
        mark_rounding(model, name)
    return reasons


@dataclass(frozen=True)
class _Quant:
    """One Quant node: names, grid, constant input where it has one, and the names that are taken."""

    node: onnx.NodeProto
    scale: NDArray[np.float32]
    zero: NDArray[Any]
    bits: int
    signed: bool
    narrow: bool
    constant: NDArray[Any] | None
    taken: set[str]
    mode: str

    @property
    def where(self) -> str:
        """How it is named to the user."""
        return f"{self.node.op_type} '{self.node.name or self.node.output[0]}'"

    @property
    def rounding(self) -> str | None:
        """How the machine rounds so, if it can."""
        return machine_rounding(self.mode, ends_at_zero=not self.signed and not self.zero.any())

    @staticmethod
    def of(node: onnx.NodeProto, constants: dict[str, NDArray[Any]], taken: set[str]) -> _Quant:
        """Read a node.

        Raises:
            UnsupportedError: computed or fractional parameters, or a rounding mode that does not exist.
        """
        where = f"{node.op_type} '{node.name or node.output[0]}'"
        parameters = [constants.get(name) for name in node.input[1:4]]
        if len(parameters) < 3 or any(p is None for p in parameters):
            raise UnsupportedError([f"{where}: scale, zero point and bit width must be constants"])
        scale, zero, bits = (np.asarray(p) for p in parameters)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        mode = attributes.get("rounding_mode", b"ROUND").decode().upper()
        if mode not in MODES:
            raise UnsupportedError([f"{where}: rounding mode {mode} does not exist in QONNX"])
        if bits.size != 1 or float(bits.reshape(-1)[0]) % 1 or (zero % 1).any():
            raise UnsupportedError([f"{where}: bit width and zero point must be whole numbers, one bit width"])
        return _Quant(
            node,
            scale.astype(np.float32),
            zero.astype(np.int64),
            int(bits.reshape(-1)[0]),
            bool(attributes.get("signed", 1)),
            bool(attributes.get("narrow", 0)),
            constants.get(node.input[0]),
            taken,
            mode,
        )

    def _name(self, what: str) -> str:
        """A name for something new."""
        return untaken(f"{self.node.output[0]}.{what}", self.taken)

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and largest integer."""
        if self.signed:
            return -(1 << (self.bits - 1)) + self.narrow, (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1 - self.narrow

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The nodes and initializers in its place."""
        return self._of_constant() if self.constant is not None else self._of_activation()

    def _of_constant(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        assert self.constant is not None
        kind = np.dtype(np.int8 if self.signed else np.uint8) if self.bits <= 8 else np.dtype(np.int32)
        low, high = self.limits
        if self.bits > 32 or (kind == np.int32 and (not self.signed or self.zero.any())):
            raise self._refused("up to 8 bits, or signed up to 32 with zero point 0 for a bias")
        try:
            steps = np.clip(self.constant.astype(np.float32) / self.scale + self.zero, low, high)
        except ValueError as e:  # shapes that do not go together
            raise self._refused("one scale per tensor or per index of one axis") from e
        integers = round_constant(self.mode, steps).astype(kind)
        axis, scale, zero = self._per_axis(integers)
        arrays = {"integers": integers, "scale": scale, "zero_point": zero.astype(kind)}
        names = {k: self._name(k) for k in arrays}
        attributes = {} if axis is None else {"axis": axis}
        dequantize = helper.make_node(
            "DequantizeLinear",
            [names["integers"], names["scale"], *([] if kind == np.int32 else [names["zero_point"]])],
            list(self.node.output),
            name=self.node.name,
            **attributes,
        )
        used = [k for k in arrays if kind != np.int32 or k != "zero_point"]
        return [dequantize], [numpy_helper.from_array(np.ascontiguousarray(arrays[k]), names[k]) for k in used]

    def _per_axis(self, integers: NDArray[Any]) -> tuple[int | None, NDArray[Any], NDArray[Any]]:
        """(axis, scale, zero point) of a constant: scalars with axis None, or one per index of one axis."""
        if self.scale.size == 1 and self.zero.size == 1:
            return None, self.scale.reshape(()), self.zero.reshape(())
        full, zeros = ((1,) * (integers.ndim - a.ndim) + a.shape for a in (self.scale, self.zero))
        axes = [i for i, n in enumerate(full) if n > 1]
        if len(axes) != 1 or (self.zero.size > 1 and zeros != full):
            raise self._refused("one scale per tensor or per index of one axis")
        scale = self.scale.reshape(-1)
        return axes[0], scale, np.broadcast_to(self.zero.reshape(-1), scale.shape)

    def _of_activation(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        if self.rounding is None:
            raise UnsupportedError(
                [f"{self.where}: the machine cannot round an activation by {self.mode}; use ROUND or FLOOR"]
            )
        if self.bits > 8 or self.scale.size != 1 or self.zero.size != 1:
            raise self._refused("up to 8 bits with one scale for an activation")
        kind = np.dtype(np.int8 if self.signed else np.uint8)
        source, out = self.node.input[0], self.node.output[0]
        scale, zero = self._name("scale"), self._name("zero_point")
        added = [
            numpy_helper.from_array(self.scale.reshape(()), scale),
            numpy_helper.from_array(self.zero.reshape(()).astype(kind), zero),
        ]
        integers = self._name("quantized")
        nodes = [helper.make_node("QuantizeLinear", [source, scale, zero], [integers], name=integers)]
        low, high = self.limits
        if (low, high) != (np.iinfo(kind).min, np.iinfo(kind).max):
            bounds = [self._name("low"), self._name("high")]
            for name, value in zip(bounds, (low, high), strict=True):
                added.append(numpy_helper.from_array(np.array(value, kind), name))
            clipped = self._name("clipped")
            nodes.append(helper.make_node("Clip", [integers, *bounds], [clipped], name=clipped))
            integers = clipped
        nodes.append(helper.make_node("DequantizeLinear", [integers, scale, zero], [out], name=self.node.name))
        return nodes, added

    def _refused(self, limit: str) -> UnsupportedError:
        sign = "signed" if self.signed else "unsigned"
        name = self.node.name or self.node.output[0]
        return UnsupportedError(
            [
                f"{self.node.op_type} '{name}': {self.bits} bits {sign} with {self.scale.size} scales; the machine "
                f"takes {limit}; train or export it that way"
            ]
        )
