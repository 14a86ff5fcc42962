"""The user's model as the reference of what the compiler made of it.

A quantized model: every tensor that the device has too, fed with the device's integers, and every output. A stretch
of the user's nodes between two of them is what the compiler rewrote: dialects, wide weights and fusions are judged.
A float model: the rewritten float model, before it is quantized, beside the user's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from vla_isa.program import Program
from vla_toolchain.verify.nodes import REFERENCE, NodeCheck, compared, device_tensors, run_fused, with_nodes
from vla_toolchain.verify.reference import Arrays, Reference, all_values
from vlac.ir.operation import Tensor
from vlac.passes import Compilation

__all__ = ["DeviceRun", "RewriteCheck", "check_outputs", "check_rewrite", "check_source"]

LIMIT = 1e-4  # of an output's largest magnitude: how far rewritten floats may be from the user's
_LIMIT16 = 1e-3  # the same where the model itself rounds to float16, which the compiler does not
_NOISE, _TRIES = 1e-6, 2  # relative change of the inputs, and how often: what moves an element by that is its noise
_MARGIN = 8.0  # times that noise is no difference


@dataclass(frozen=True)
class DeviceRun:
    """One device partition, compiled with `debug_outputs`: what it ran on and its raw outputs."""

    part: Compilation
    inputs: Arrays
    raw: Arrays

    def tensors(self) -> list[tuple[Tensor, NDArray[np.int8]]]:
        """Every tensor with its integers."""
        assert self.part.graph is not None
        return device_tensors(self.part.graph, self.inputs, self.raw)


# --- quantized models ----------------------------------------------------------------------------------------


def check_source(
    source: onnx.ModelProto, runs: Sequence[DeviceRun], inputs: Arrays, results: Arrays
) -> list[NodeCheck]:
    """Every tensor of the user's model that the device has too, fed with its integers, and every output.

    Args:
        source: the user's quantized model.
        runs: its device partitions.
        inputs, results: of the whole program, real numbers by name.

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    integers, reals = _known(source, runs)
    cut = {**integers, **reals}
    model, targets = _opened(source, integers, reals)
    feeds = {**inputs, **{name: cut[name][0].to_model(cut[name][1]) for name in integers}}
    feeds |= {_integers_of(name): cut[name][0].to_model(cut[name][1]) for name in reals}
    ends = [o.name for o in source.graph.output if o.name not in cut]
    found = run_fused(model, feeds, [*(f"{t}{REFERENCE}" for t in targets), *ends])
    checks = []
    for name in targets:
        tensor, q = cut[name]
        wanted = found[f"{name}{REFERENCE}"]
        if name in reals:
            wanted, zero = np.rint(wanted.astype(np.float64) / tensor.scale), tensor.zero_point
            checks.append(compared(tensor.label, wanted + zero, q))
        else:
            checks.append(compared(tensor.label, wanted, tensor.to_model(q)))
    return checks + [_same_reals(name, found[name], results[name]) for name in ends]


_Known = dict[str, tuple[Tensor, NDArray[np.int8]]]


def _known(source: onnx.ModelProto, runs: Sequence[DeviceRun]) -> tuple[_Known, _Known]:
    """Device tensors by what the user's model calls their integers, and others by what it calls their real values."""
    quantizers = {n.output[0]: n for n in source.graph.node if n.op_type == "QuantizeLinear"}
    behind = {n.input[0]: n.output[0] for n in source.graph.node if n.op_type == "DequantizeLinear"}
    made = {name for node in source.graph.node for name in node.output}
    integers: _Known = {}
    reals: _Known = {}
    for run in runs:
        assert run.part.qdq is not None
        named = {n.input[0]: n.output[0] for n in run.part.qdq.graph.node if n.op_type == "DequantizeLinear"}
        for tensor, q in run.tensors():
            real = named.get(tensor.name, "")
            if tensor.name in quantizers and tensor.name in behind:
                integers[tensor.name] = tensor, q
            elif real in made and real not in quantizers:
                reals[real] = tensor, q
    hidden = {behind[name] for name in integers}
    return integers, {name: known for name, known in reals.items() if name not in hidden}


def _integers_of(name: str) -> str:
    return f"{name}//integers"


def _opened(source: onnx.ModelProto, integers: _Known, reals: _Known) -> tuple[onnx.ModelProto, list[str]]:
    """The user's model cut at the known tensors, and which of them it computes; outputs that are not cut stay."""
    model = onnx.ModelProto()
    model.CopyFrom(source)
    ends = [o.name for o in source.graph.output if o.name not in integers and o.name not in reals]
    targets, nodes = [], []
    for name, (tensor, _) in reals.items():
        zero = tensor.to_model(np.asarray(tensor.zero_point))
        scale = np.float32(tensor.scale)
        for key, value in (("scale", scale), ("zero", zero)):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{name}//{key}"))
        parameters = [_integers_of(name), f"{name}//scale", f"{name}//zero"]
        nodes.append(helper.make_node("DequantizeLinear", parameters, [name]))
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name in integers or name in reals:
                node.output[i] = f"{name}{REFERENCE}"
                targets.append(name)
        nodes.append(node)
    fed = {name: tensor for name, (tensor, _) in integers.items()}
    fed |= {_integers_of(name): tensor for name, (tensor, _) in reals.items()}
    opened = with_nodes(model, nodes, fed, targets)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ends)
    return opened, targets


def _same_reals(name: str, wanted: NDArray[Any], found: NDArray[Any]) -> NodeCheck:
    """The check of an output that the host finishes: integers as they are, floats in units of what may differ."""
    if wanted.shape != found.shape:
        return NodeCheck(name, wanted.size, wanted.size, 1 << 30)
    if wanted.dtype.kind != "f":
        return compared(name, wanted, found)
    unit = LIMIT * max(_magnitude(wanted), float(np.finfo(np.float32).tiny))
    away = np.abs(wanted.astype(np.float64) - found) / unit
    over = int((away > 1).sum())
    return NodeCheck(name, wanted.size, over, int(min(np.ceil(away.max(initial=0)), 1 << 30)) if over else 0)


def _scales(program: Program) -> Iterator[tuple[str, float]]:
    """Model outputs that are one tensor of the device, at most with its values moved, and its scale."""
    for out in program.model.outputs:
        tensors = program.model.device_outputs(out.source)
        if len(tensors) == 1 and program.model.only_moves(out.source):
            yield out.name, program.outputs[tensors[0]].scale


def check_outputs(source: onnx.ModelProto, state: Compilation, inputs: Arrays, results: Arrays) -> list[NodeCheck]:
    """The outputs from end to end, in units of their scale: differences have spread from layer to layer.

    Args:
        source: the user's quantized model.
        state: its compilation.
        inputs, results: of the program, real numbers by name.

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    programs = [p.program for p in state.partitions or [state] if p.program is not None]
    scales = dict(scale for program in programs for scale in _scales(program))
    checks = []
    for name, wanted in run_fused(source, inputs, [o.name for o in source.graph.output]).items():
        if name in scales and wanted.dtype.kind == "f":
            steps = [np.rint(v.astype(np.float64) / scales[name]) for v in (wanted, results[name])]
            checks.append(compared(name, *steps))
        else:
            checks.append(_same_reals(name, wanted, results[name]))
    return checks


# --- float models --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RewriteCheck:
    """An output of the rewritten float model beside the user's.

    Attributes:
        error: the largest difference, as a share of the output's largest magnitude; the share of different
            elements where the output is of integers.
        wrong: elements that differ by more than rounding in float32 explains.
        first: the first value of the user's model that the rewritten one has too and computes otherwise.
    """

    name: str
    error: float
    wrong: int
    first: str | None = None

    @property
    def ok(self) -> bool:
        """Nothing differs but by rounding."""
        return self.wrong == 0


def check_rewrite(source: onnx.ModelProto, rewritten: onnx.ModelProto, inputs: Arrays) -> list[RewriteCheck]:
    """Every output of the rewritten model that the user's has too, on one input: all but those behind a tail.

    An element may differ by 1e-4 of the output's largest magnitude and by what a change of the inputs in their last
    digits does to it: so functions with steps (Floor, ArgMax near a tie) are judged where they are sure.

    Raises:
        ModelError: ONNX Runtime cannot run one of them.
    """
    before, after = all_values(source), all_values(rewritten)
    a, b = before.run(inputs), after.run(inputs)
    names = [o.name for o in rewritten.graph.output if o.name in a]
    noise = _noise(before, inputs, a, names)
    limit = _LIMIT16 if any(v.dtype == np.float16 for v in a.values()) else LIMIT
    checks = []
    for name in names:
        wrong = _wrong(a[name], b[name], limit, noise[name])
        first = _first_difference(source, a, b) if wrong.any() else None
        checks.append(RewriteCheck(name, _error(a[name], b[name]), int(wrong.sum()), first))
    return checks


def _noise(model: Reference, inputs: Arrays, values: Arrays, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """How far each element of the outputs moves at most when real inputs change in their last digits, to and fro."""
    rng = np.random.default_rng(0)
    moved = {name: np.zeros(values[name].shape) for name in names}
    for _ in range(_TRIES):
        changes = {
            name: rng.choice(np.array([-1, 1], a.dtype), a.shape) * a.dtype.type(_NOISE * np.abs(a).max(initial=0))
            for name, a in inputs.items()
            if a.dtype.kind == "f"
        }
        for sign in (1, -1):
            near = {name: a + sign * changes[name] if name in changes else a for name, a in inputs.items()}
            for name, found in model.run(near, names).items():
                moved[name] = np.maximum(moved[name], _distance(values[name], found))
    return moved


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """|a - b|; 0 where both are the same infinity or no number, infinite where only one is."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore"):
        distance = np.abs(x - y)
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


def _magnitude(a: NDArray[Any]) -> float:
    finite = a[np.isfinite(a)] if a.dtype.kind == "f" else np.zeros(0)
    return float(np.abs(finite).max(initial=0))


def _wrong(a: NDArray[Any], b: NDArray[Any], limit: float, noise: NDArray[np.float64]) -> NDArray[np.bool_]:
    if a.shape != b.shape:
        return np.ones(a.shape, np.bool_)
    return np.asarray(_distance(a, b) > limit * _magnitude(a) + _MARGIN * noise)


def _error(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape or a.size == 0:
        return float(a.shape != b.shape)
    distance = _distance(a, b)
    if a.dtype.kind != "f":
        return float((distance > 0).mean())
    return float(distance.max()) / max(_magnitude(a), float(np.finfo(np.float32).tiny))


def _first_difference(source: onnx.ModelProto, a: Arrays, b: Arrays) -> str | None:
    """In the order of the user's nodes; a name that means another value by now is no help, and no error either."""
    for node in source.graph.node:
        for name in node.output:
            if name in a and name in b and a[name].shape == b[name].shape and _error(a[name], b[name]) > 10 * LIMIT:
                return f"'{name}' ({node.op_type})"
    return None
