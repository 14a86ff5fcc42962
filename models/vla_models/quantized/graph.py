"""A graph as a torch module: in evaluation its results are those of the compiled program, bit for bit.

Parameters are the float weights; each forward rounds them as the compiler will. The scales of activations are those of
`ranges`, which calibration found and training leaves alone. `to_onnx` is the model with Q/DQ that `vlac compile` takes;
it needs no calibration.

Not here: what an operator computes (`operators.py`), where the graph comes from (`convert.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import nn

from vla_isa.numerics import quantize
from vla_models.errors import PolicyError
from vla_models.quantized.operators import compute, refusal, refuse
from vla_models.quantized.skeleton import LAYERS, fixed_weights, set_fixed_weights, weights_of
from vla_models.quantized.values import Codes, Value, rounded
from vlac.model.clamps import clamped_result
from vlac.model.labels import value_label
from vlac.model.reading import constant_input
from vlac.quantize.insert_qdq import Ranges, activations, far_biases, insert_qdq
from vlac.quantize.parameters import Scale

__all__ = ["QuantizedGraph"]


class QuantizedGraph(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Float inputs (N, ...) in the order of the graph's to its float outputs, which are the device's integers scaled.

    Args:
        model: a float graph after the compiler's rewriting, with batch 1. Its weights are the first ones.

    Raises:
        PolicyError: an operator that cannot be learned through; names the node.
    """

    ranges: torch.Tensor

    def __init__(self, model: ir.Model) -> None:
        super().__init__()
        self._plan = _Plan(model)
        self.weights = nn.ParameterDict(
            {_key(name): nn.Parameter(torch.tensor(v.const_value.numpy())) for name, v in weights_of(model).items()}
        )
        for name in fixed_weights(model):
            self.weights[_key(name)].requires_grad_(False)
        self.register_buffer("ranges", torch.zeros(len(self._plan.names), 2, dtype=torch.float64))

    @property
    def model(self) -> ir.Model:
        """The float graph; its weights are the first ones."""
        return self._plan.model

    def set_ranges(self, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Take the ranges of the activations, by name."""
        self.ranges.copy_(torch.tensor([ranges[name] for name in self._plan.names], dtype=torch.float64))

    def fix(self, names: Collection[str]) -> None:
        """Leave the weights of these names as they are in training, and in that of copies and of the saved policy."""
        set_fixed_weights(self.model, names)
        for name, weight in ((name, self.weights[_key(name)]) for name in self._plan.weights):
            weight.requires_grad_(name not in names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The outputs, (N, ...) each; one that is alone is no tuple."""
        integers = self.integers(*inputs)
        found = tuple(integers[value_label(v)].real for v in self._plan.model.graph.outputs)
        return found[0] if len(found) == 1 else found

    def integers(self, *inputs: torch.Tensor) -> dict[str, Codes]:
        """Every tensor that the device holds, by the name of its float value in the graph.

        Raises:
            PolicyError: an input holds NaN.
        """
        graph, scales = self._plan.model.graph, self._plan.scales(self.ranges)
        weights = {name: self.weights[_key(name)] for name in self._plan.weights}
        found: dict[ir.Value, Value] = {}
        stored: dict[str, Codes] = {}
        for value, array in zip(graph.inputs, inputs, strict=True):
            name = value.name or ""
            if name in scales:
                found[value] = stored[name] = _entered(name, array, scales[name])
        for node in graph:
            operands = [None if v is None else found.get(v) for v in node.inputs]
            value, name = node.outputs[0], node.outputs[0].name or ""
            found[value] = compute(node, operands, weights, exact=not self.training)
            if name in scales:
                found[value] = stored[name] = rounded(found[value], scales[name])
        return stored

    @property
    def step(self) -> float:
        """The largest scale of an output."""
        scales = self._plan.scales(self.ranges)
        return max(float(scales[value_label(v)].scale) for v in self._plan.model.graph.outputs)

    def to_onnx(self) -> onnx.ModelProto:
        """The model with Q/DQ, weights and biases as integers.

        Raises:
            PolicyError: a bias that the compiler would cut.
        """
        self._check_biases()
        arrays = {name: self.weights[_key(name)].detach().cpu().numpy() for name in self._plan.weights}
        model = self._plan.quantized(arrays, self.ranges)
        set_fixed_weights(model, ())
        RemoveUnusedNodesPass()(model)  # the float weights
        return ir.to_proto(model)

    def _check_biases(self) -> None:
        """Refuse biases that say "never", which the quantizer cuts: the program would compute with others."""
        scales = self._plan.scales(self.ranges)
        for node in self.model.graph:
            bias = node.inputs[2] if node.op_type in LAYERS and len(node.inputs) > 2 else None
            out = scales.get(clamped_result(node.outputs[0]).name or "")
            if bias is None or out is None:
                continue
            array = self.weights[_key(bias.name or "")].detach().cpu().numpy()
            for channel in far_biases(array, out)[:1]:
                text = (
                    f"its bias {array[channel]:g} of channel {channel} is far beyond its results' range, {out.limits}"
                )
                raise refuse(node, f"{text}; lower the learning rate, or calibrate with other data")


class _Plan:
    """What never changes: the graph, the names of its weights and of the activations that are rounded."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        for node in model.graph:
            reason = refusal(node)
            if reason is not None:
                raise refuse(node, reason)
        self.weights = list(weights_of(model))
        self.names = [v.name or "" for v in activations(model)]
        self._known: tuple[bytes, dict[str, Scale]] = b"", {}

    def __deepcopy__(self, memo: Any) -> _Plan:
        """Shared by copies of the module."""
        return self

    def scales(self, ranges: torch.Tensor) -> dict[str, Scale]:
        """The scale of each activation, as the compiler makes it of the ranges."""
        key = ranges.cpu().numpy().tobytes()
        if key != self._known[0]:
            self._known = key, _scales(self._inserted(self.model, ranges))
        return self._known[1]

    def quantized(self, arrays: Mapping[str, np.ndarray[Any, Any]], ranges: torch.Tensor) -> ir.Model:
        """The graph with these weights and with Q/DQ."""
        model = self.model.clone()
        for name, value in weights_of(model).items():
            value.const_value = ir.tensor(arrays[name], name=name)
        return self._inserted(model, ranges)

    def _inserted(self, model: ir.Model, ranges: torch.Tensor) -> ir.Model:
        ends = ((float(low), float(high)) for low, high in ranges.cpu())
        return insert_qdq(model, Ranges(dict(zip(self.names, ends, strict=True))))


def _scales(qdq: ir.Model) -> dict[str, Scale]:
    found = {}
    for node in qdq.graph:
        scale, zero = constant_input(node, 1), constant_input(node, 2)
        if node.op_type == "QuantizeLinear" and scale is not None and zero is not None:
            found[value_label(node.inputs[0])] = Scale(np.float32(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]))
    return found


def _entered(name: str, array: torch.Tensor, scale: Scale) -> Codes:
    """A real input as the host quantizes it; no gradient."""
    if bool(torch.isnan(array).any()):
        raise PolicyError(f"input '{name}' holds NaN, which the device has no integer for; leave such samples out.")
    q = quantize(array.detach().cpu().numpy(), float(scale.scale), scale.zero_point)
    return Codes(torch.from_numpy(q.astype(np.float32)).to(array.device), scale)


def _key(name: str) -> str:
    """A weight's name as torch allows it."""
    return name.replace(".", "/")
