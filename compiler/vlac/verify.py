"""Node by node comparison with ONNX Runtime: each node of the QDQ model is fed the device's integers.

Compile with `keep_all`, run the program on any backend with raw outputs, and give the integers to
`check_nodes`: one ONNX Runtime model is made in which every tensor the device also has is a model input, so a
difference never travels from one node to the next. What an instruction fuses is compared as one. A tensor
that lies in a Concat is compared there, in the Concat's scale.

ONNX Runtime computes integer convolutions on x86 only with `session.qdqisint8allowed`, and exactly only on
CPUs with VNNI; `exact_reference` says whether this is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from vla_isa.program import Program
from vla_isa.signature import HostRun, to_device
from vlac.errors import ModelError

__all__ = ["NodeCheck", "check_nodes", "device_tensors", "exact_reference", "joined", "verification_inputs"]
from vlac.ir.graph import ConcatOp, Graph, PoolOp, Tensor, View
from vlac.ir.moves import SelectOp
from vlac.passes import Compilation
from vlac.quantize.calibration import read_samples

__all__ = ["NodeCheck", "check_nodes", "device_tensors", "exact_reference", "joined", "verification_inputs"]

Arrays = Mapping[str, NDArray[Any]]
_SHARE = 1e-3  # of a tensor's elements may differ by 1
_TIE = 1e-4  # how near a half, in units of the last place, float32 noise decides the rounding of an average
_SAMPLES = 4


@dataclass(frozen=True)
class NodeCheck:
    """One tensor: how many elements, how many differ, and by how much at most (in units of the last place).

    Averages that are exactly a half are not counted as different: float32 noise rounds them either way.
    """

    name: str
    elements: int
    different: int
    largest: int

    @property
    def ok(self) -> bool:
        """At most 1 everywhere and equal in 99.9 % of elements."""
        return self.largest <= 1 and self.different <= self.elements * _SHARE


def exact_reference() -> bool:
    """Whether ONNX Runtime's integer kernels are exact here: a CPU with VNNI (unknown systems count as not)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def verification_inputs(program: Program, calibration: str | None) -> list[dict[str, NDArray[Any]]]:
    """A few inputs to compare on: calibration samples where there are any, else random ones.

    Raises:
        CalibrationError: the calibration data cannot be read.
    """
    if calibration is not None:
        samples = read_samples(calibration, program.model_inputs, program.model.unused)
        return [dict(sample) for sample in samples[:_SAMPLES]]
    return [dict(sample) for sample in read_samples(f"random:{_SAMPLES}", program.model_inputs)]


def joined(runs: Iterable[Sequence[NodeCheck]]) -> list[NodeCheck]:
    """The checks of several runs as one per tensor."""
    found: dict[str, NodeCheck] = {}
    for check in (c for run in runs for c in run):
        before = found.get(check.name, NodeCheck(check.name, 0, 0, 0))
        elements, different = before.elements + check.elements, before.different + check.different
        found[check.name] = NodeCheck(check.name, elements, different, max(before.largest, check.largest))
    return list(found.values())


def check_nodes(state: Compilation, inputs: Arrays, outputs: Arrays) -> list[NodeCheck]:
    """Compare every tensor of a program compiled with `keep_all`.

    Args:
        state: what `compile_file` returned.
        inputs: the arrays the program ran on, by the model's names.
        outputs: the device's int8 outputs by name.

    Raises:
        ModelError: the compilation did not keep its tensors.
    """
    if state.graph is None or state.qdq is None or not state.options.keep_all:
        raise ModelError("node by node comparison needs a compilation with keep_all")
    quantized = {name for n in state.qdq.graph.node if n.op_type == "DequantizeLinear" for name in n.input[:1]}
    known = [(t, q) for t, q in device_tensors(state.graph, inputs, outputs) if t.name in quantized]
    model, targets = _opened(state.qdq, {t.name: t for t, _ in known})
    feeds = {t.name: _as_model(t, q) for t, q in known}
    feeds |= {name: array for name, array in inputs.items() if name not in feeds}
    reference = _run(model, [f"{t}__reference" for t in targets], feeds, fused=True)
    ties = _ties(model, [t for t, _ in known if t.name in targets and _is_average(t)], feeds)
    checks = []
    for tensor, q in known:
        if tensor.name in targets:
            expected = reference[f"{tensor.name}__reference"].astype(np.int64)
            difference = np.abs(expected - _as_model(tensor, q).astype(np.int64))
            counted = (difference > 0) & ~ties.get(tensor.name, np.False_)
            checks.append(NodeCheck(tensor.label, difference.size, int(counted.sum()), int(difference.max())))
    return checks + _copies(state.graph, dict(known), outputs)


def _copies(graph: Graph, known: dict[Tensor, NDArray[np.int8]], outputs: Arrays) -> list[NodeCheck]:
    """Outputs that are copies of inputs against the inputs' integers."""
    checks = []
    for out in graph.outputs:
        if out.source in graph.inputs and out.source in known:
            values = out.tensor_values(outputs[out.name]).astype(np.int64)
            difference = np.abs(values - known[out.source])
            checks.append(NodeCheck(out.name, values.size, int((difference > 0).sum()), int(difference.max())))
    return checks


def _run(model: onnx.ModelProto, outputs: list[str], feeds: Arrays, *, fused: bool) -> dict[str, NDArray[Any]]:
    """Outputs of the model, with ORT's integer kernels (`fused`) or node by node in float32."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    used = {i.name for i in session.get_inputs()}
    values = outputs and session.run(outputs, {name: array for name, array in feeds.items() if name in used})
    return dict(zip(outputs, values, strict=True))


def _is_average(tensor: Tensor) -> bool:
    made = tensor.producer
    return made is not None and (made.op_type == "Resize" or (isinstance(made, PoolOp) and made.mode == "average"))


def _ties(model: onnx.ModelProto, averages: list[Tensor], feeds: Arrays) -> dict[str, NDArray[np.bool_]]:
    """Where each average lies halfway between two integers, by the float32 value in front of its QuantizeLinear."""
    if not averages:
        return {}
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    source = {n.output[0].removesuffix("__reference"): n.input[0] for n in model.graph.node}
    names = {t.name: source[t.name] for t in averages}
    del opened.graph.output[:]
    opened.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in set(names.values()))
    values = _run(opened, list(set(names.values())), feeds, fused=False)
    halves = {t.name: values[names[t.name]].astype(np.float64) / t.scale % 1.0 for t in averages}
    return {name: np.abs(half - 0.5) < _TIE for name, half in halves.items()}


def device_tensors(graph: Graph, inputs: Arrays, outputs: Arrays) -> list[tuple[Tensor, NDArray[np.int8]]]:
    """Every tensor the device read or wrote, with its int8 values in the ONNX shape."""
    found: dict[Tensor, NDArray[np.int8]] = {}
    assert graph.signature is not None
    host = HostRun(graph.signature, inputs)
    for tensor in graph.inputs:
        array = host.value(graph.input_labels[tensor][1])
        array = array.reshape(-1)[graph.input_moves[tensor]] if tensor in graph.input_moves else array
        array = array.reshape(tensor.shape)
        found[tensor] = to_device(array, tensor.scale, tensor.zero_point)
    for out in graph.outputs:
        if out.source not in graph.inputs:
            found[out.source or out.tensor] = out.tensor_values(outputs[out.name])
    for op in graph.ops:  # what has no instruction of its own
        parts = [found[t] for t in op.inputs if t in found]
        if isinstance(op, (View, ConcatOp, SelectOp)) and len(parts) == len(op.inputs):
            found[op.output] = op.rearranged(parts)
    for alias in graph.aliases:
        if all(t in found for t in alias.holders):
            values = np.concatenate([*(found[t].reshape(-1) for t in alias.holders), np.array([alias.fill], np.int8)])
            found[alias.tensor] = values[alias.index].reshape(alias.tensor.shape)
    return list(found.items())


def _as_model(tensor: Tensor, q: NDArray[np.int8]) -> NDArray[Any]:
    """Device integers as the QDQ model's: uint8 models are offset by 128."""
    return np.asarray((q.astype(np.int16) + 128).astype(np.uint8) if tensor.unsigned else q.astype(np.int8))


def _opened(qdq: onnx.ModelProto, known: dict[str, Tensor]) -> tuple[onnx.ModelProto, list[str]]:
    """The QDQ model with every known tensor as an input, and what computes it as an output `NAME__reference`."""
    model = onnx.ModelProto()
    model.CopyFrom(qdq)
    graph = model.graph
    float_inputs = {i.name for i in qdq.graph.input}
    targets, keep = [], []
    for node in graph.node:
        name = node.output[0]
        if name in known and node.op_type == "QuantizeLinear":
            if node.input[0] in float_inputs:
                continue  # the input's own integers are fed
            node.output[0] = f"{name}__reference"
            targets.append(name)
        keep.append(node)
    read = {name for node in keep for name in node.input}
    floats = [i for i in graph.input if i.name in read]
    for field, values in (("node", keep), ("input", floats), ("output", [])):
        copies = [type(v).FromString(v.SerializeToString()) for v in values]
        del getattr(graph, field)[:]
        getattr(graph, field).extend(copies)
    del graph.value_info[:]
    for node in graph.node:  # ONNX Runtime's integer AveragePool takes no dilations: an output more keeps it in float32
        if node.op_type == "AveragePool" and any(a.name == "dilations" for a in node.attribute):
            graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
    for name, tensor in known.items():
        if name in float_inputs:
            continue
        kind = TensorProto.UINT8 if tensor.unsigned else TensorProto.INT8
        graph.input.append(helper.make_tensor_value_info(name, kind, tensor.shape))
        if name in targets:
            graph.output.append(helper.make_tensor_value_info(f"{name}__reference", kind, None))
    return model, targets
