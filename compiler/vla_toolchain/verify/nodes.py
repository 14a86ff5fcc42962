"""Node by node comparison with ONNX Runtime: each node of a quantized model is fed the device's integers.

Compile with `debug_outputs`, run the program on any backend with raw outputs, and give the integers to
`check_nodes`: one ONNX Runtime model is made in which every tensor the device also has is a model input, so a
difference never travels from one node to the next. What an instruction fuses is compared as one. A tensor
that lies in a Concat is compared there, in the Concat's scale.

ONNX Runtime computes integer convolutions on x86 only with `session.qdqisint8allowed`, and exactly only on
CPUs with VNNI; `exact_reference` says whether this is one. Not here: the user's own model (`source.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from vla_isa.generated.codes import RowTable
from vla_isa.program import Program
from vla_isa.signature import HostRun, to_device
from vla_toolchain.verify.reference import Arrays, Reference
from vlac.device.gemm import GemmOp
from vlac.device.row import RowOp
from vlac.errors import ModelError
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor
from vlac.passes import Compilation

__all__ = [
    "REFERENCE",
    "NodeCheck",
    "check_nodes",
    "compared",
    "compared_reals",
    "device_tensors",
    "joined",
    "run_fused",
    "with_nodes",
]

REFERENCE = "__reference"  # behind a tensor's name: what the model computes for it
_ROUNDED_INSIDE = ("Attention", "LayerNormalization", "RMSNormalization", "RotaryEmbedding", "ScatterElements")
_LEAST_SNR = 1e3
_SHARE = 1e-3  # of a tensor's elements may differ by 1
_WIDE_SHARE = 1e-2  # of int16, whose step float32 knows to a few thousandths
_TIE = 1e-4  # how near a half, in units of the last place, float32 noise decides the rounding of an average


@dataclass(frozen=True)
class NodeCheck:
    """One tensor: how many elements, how many differ, and by how much at most (in units of the last place).

    Averages that are exactly a half are not counted as different: float32 noise rounds them either way. `signal` and
    `noise` are sums of squares of a node with roundings inside that ONNX Runtime does in float, or of lines, or of a
    layer of an int16; 0 of others. `share` is how many may differ.
    """

    name: str
    elements: int
    different: int
    largest: int
    signal: float = 0.0
    noise: float = 0.0
    share: float = _SHARE

    @property
    def ok(self) -> bool:
        """At most 1 everywhere, equal in 99.9 % of values, of int16 in 99 %; with roundings inside or lines, 30 dB."""
        if self.signal:
            return self.noise * _LEAST_SNR <= self.signal
        return self.largest <= 1 and self.different <= self.elements * self.share


def compared(name: str, wanted: NDArray[Any], found: NDArray[Any], ties: NDArray[np.bool_] | None = None) -> NodeCheck:
    """The check of two arrays of integers."""
    difference = np.abs(wanted.astype(np.int64) - found.astype(np.int64))
    counted = difference > 0 if ties is None else (difference > 0) & ~ties
    return NodeCheck(name, difference.size, int(counted.sum()), int(difference.max(initial=0)))


def compared_reals(program: Program, wanted: Mapping[str, object], found: Mapping[str, object]) -> list[NodeCheck]:
    """The checks of two runs' outputs, in steps of the program's."""
    steps = {t.name: t.scale for t in program.outputs}
    checks = []
    for name, array in wanted.items():
        step = steps.get(name, 1.0)
        a, b = (np.rint(np.asarray(x, np.float64) / step).astype(np.int64) for x in (array, found[name]))
        checks.append(compared(name, a, b))
    return checks


def joined(runs: Iterable[Sequence[NodeCheck]]) -> list[NodeCheck]:
    """The checks of several runs as one per tensor."""
    found: dict[str, NodeCheck] = {}
    for check in (c for run in runs for c in run):
        before = found.get(check.name, NodeCheck(check.name, 0, 0, 0))
        elements, different = before.elements + check.elements, before.different + check.different
        largest, signal, noise = (
            max(before.largest, check.largest),
            before.signal + check.signal,
            before.noise + check.noise,
        )
        found[check.name] = NodeCheck(check.name, elements, different, largest, signal, noise, check.share)
    return list(found.values())


def check_nodes(state: Compilation, inputs: Arrays, outputs: Arrays) -> list[NodeCheck]:
    """Compare every tensor of a program compiled with `debug_outputs` with the quantized model it was made from.

    Args:
        state: what `compile_file` returned.
        inputs: the arrays the program ran on, by the model's names.
        outputs: the device's int8 outputs by name.

    Raises:
        ModelError: the compilation did not keep its tensors.
    """
    if state.graph is None or state.qdq is None or not state.options.debug_outputs:
        raise ModelError("node by node comparison needs a compilation with debug_outputs")
    quantized = {name for n in state.qdq.graph.node if n.op_type == "DequantizeLinear" for name in n.input[:1]}
    known = [(t, q) for t, q in device_tensors(state.graph, inputs, outputs) if t.name in quantized]
    model, targets = _opened(state.qdq, {t.name: t for t, _ in known})
    feeds = {t.name: t.to_model(q) for t, q in known}
    feeds |= {name: array for name, array in inputs.items() if name not in feeds}
    reference = run_fused(model, feeds, [f"{t}{REFERENCE}" for t in targets])
    ties = _ties(model, [t for t, _ in known if t.name in targets and _is_average(t)], feeds)
    kinds = _kinds(state.qdq)
    checks = []
    for t, q in known:
        if t.name in targets:
            wanted = reference[f"{t.name}{REFERENCE}"]
            check = compared(t.label, wanted, t.to_model(q), ties.get(t.name))
            check = replace(check, share=_WIDE_SHARE) if t.planes == 2 else check
            inside = kinds.get(t.name) in _ROUNDED_INSIDE or _is_of_lines(t) or _is_of_halves(t)
            checks.append(_with_noise(check, t, wanted, q) if inside else check)
    return checks + _copies(state.graph, dict(known), outputs)


def _kinds(qdq: onnx.ModelProto) -> dict[str, str]:
    """The operator in front of each QuantizeLinear, by the name of its integers."""
    makers = {name: node.op_type for node in qdq.graph.node for name in node.output}
    return {n.output[0]: makers.get(n.input[0], "") for n in qdq.graph.node if n.op_type == "QuantizeLinear"}


def _is_of_lines(tensor: Tensor) -> bool:
    """Whether it is a function of an int16, by lines between the function's points."""
    made = tensor.producer
    return isinstance(made, RowOp) and made.table_mode == RowTable.IN16


def _is_of_halves(tensor: Tensor) -> bool:
    """Whether it is a layer's of an int16: the sum of two products, each rounded, perhaps in another scale."""
    made = tensor.producer
    if isinstance(made, RowOp) and tensor.planes == 1:
        made = made.inputs[0].producer
    return isinstance(made, GemmOp) and made.halved


def _with_noise(check: NodeCheck, tensor: Tensor, wanted: NDArray[Any], q: NDArray[Any]) -> NodeCheck:
    signal = wanted.astype(np.float64) - tensor.zero_point
    noise = q.astype(np.float64) - wanted
    return replace(check, signal=float((signal**2).sum()), noise=float((noise**2).sum()))


def _copies(graph: Graph, known: dict[Tensor, NDArray[Any]], outputs: Arrays) -> list[NodeCheck]:
    """Outputs that are copies of inputs against the inputs' integers."""
    return [
        compared(out.name, known[out.source], out.tensor_values(outputs[out.name]))
        for out in graph.outputs
        if out.source in graph.inputs and out.source in known
    ]


def run_fused(model: onnx.ModelProto, feeds: Arrays, outputs: list[str]) -> dict[str, NDArray[Any]]:
    """Outputs of the model with integer kernels; where these refuse a scale, node by node in float32.

    Raises:
        ModelError: ONNX Runtime cannot run it either way.
    """
    try:
        return Reference(model, fused=True).run(feeds, outputs)
    except ModelError:
        return Reference(model).run(feeds, outputs)


def _is_average(tensor: Tensor) -> bool:
    made = tensor.producer
    return made is not None and (made.op_type == "Resize" or (made.is_average))


def _ties(model: onnx.ModelProto, averages: list[Tensor], feeds: Arrays) -> dict[str, NDArray[np.bool_]]:
    """Where each average lies halfway between two integers, by the float32 value in front of its QuantizeLinear."""
    if not averages:
        return {}
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    source = {n.output[0].removesuffix(REFERENCE): n.input[0] for n in model.graph.node}
    names = {t.name: source[t.name] for t in averages}
    del opened.graph.output[:]
    opened.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in set(names.values()))
    values = Reference(opened).run(feeds)
    halves = {t.name: values[names[t.name]].astype(np.float64) / t.scale % 1.0 for t in averages}
    return {name: np.abs(half - 0.5) < _TIE for name, half in halves.items()}


def device_tensors(graph: Graph, inputs: Arrays, outputs: Arrays) -> list[tuple[Tensor, NDArray[Any]]]:
    """Every tensor the device read or wrote, with its integers in the ONNX shape."""
    found: dict[Tensor, NDArray[Any]] = {}
    assert graph.signature is not None
    host = HostRun(graph.signature, inputs)
    for tensor in graph.inputs:
        array = host.value(graph.input_labels[tensor][1])
        array = array.reshape(-1)[graph.input_orders[tensor]] if tensor in graph.input_orders else array
        found[tensor] = to_device(array.reshape(tensor.shape), tensor.scale, tensor.zero_point, tensor.stored)
    for out in graph.outputs:
        if out.source not in graph.inputs:
            found[out.source or out.tensor] = out.tensor_values(outputs[out.name])
    for op in graph.ops:  # what has no instruction of its own
        parts = [found[t] for t in op.inputs if t in found]
        if not op.queue and len(parts) == len(op.inputs):
            hwc = [t.to_hwc(q.astype(np.int64)) for t, q in zip(op.inputs, parts, strict=True)]
            found[op.output] = op.output.stored.cast(op.output.from_hwc(op.meaning(hwc)))
    for alias in graph.aliases:
        if all(t in found for t in alias.holders):
            fill = np.array([alias.fill], alias.tensor.stored.dtype)
            values = np.concatenate([*(found[t].reshape(-1) for t in alias.holders), fill])
            found[alias.tensor] = values[alias.index].reshape(alias.tensor.shape)
    return list(found.items())


def _opened(qdq: onnx.ModelProto, known: dict[str, Tensor]) -> tuple[onnx.ModelProto, list[str]]:
    """The QDQ model with every known tensor as an input, and what computes it as an output `NAME__reference`."""
    model = onnx.ModelProto()
    model.CopyFrom(qdq)
    float_inputs = {i.name for i in qdq.graph.input}
    targets, keep = [], []
    for node in model.graph.node:
        name = node.output[0]
        if name in known and node.op_type == "QuantizeLinear":
            if node.input[0] in float_inputs:
                continue  # the input's own integers are fed
            node.output[0] = f"{name}{REFERENCE}"
            targets.append(name)
        keep.append(node)
    return with_nodes(model, keep, {n: t for n, t in known.items() if n not in float_inputs}, targets), targets


def with_nodes(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], known: dict[str, Tensor], targets: list[str]
) -> onnx.ModelProto:
    """The model with these nodes: the known tensors' integers are inputs, the targets' references the only outputs."""
    graph = model.graph
    read = {name for node in nodes for name in node.input}
    floats = [i for i in graph.input if i.name in read and i.name not in known]
    for field, values in (("node", nodes), ("input", floats), ("output", [])):
        copies = [type(v).FromString(v.SerializeToString()) for v in values]
        del getattr(graph, field)[:]
        getattr(graph, field).extend(copies)
    del graph.value_info[:]
    for node in graph.node:  # ONNX Runtime's integer AveragePool takes no dilations: an output more keeps it in float32
        if node.op_type == "AveragePool" and any(a.name == "dilations" for a in node.attribute):
            graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
    for name, tensor in known.items():
        kind = helper.np_dtype_to_tensor_dtype(tensor.type.dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, tensor.shape))
    graph.output.extend(onnx.ValueInfoProto(name=f"{name}{REFERENCE}") for name in targets)
    return model
