"""Node by node comparison with ONNX Runtime: each node of the QDQ model is fed the device's integers.

Compile with `keep_all`, run the program on any backend with raw outputs, and give the integers to
`check_nodes`: one ONNX Runtime model is made in which every tensor the device also has is a model input, so a
difference never travels from one node to the next. What an instruction fuses is compared as one.

ONNX Runtime computes integer convolutions on x86 only with `session.qdqisint8allowed`, and exactly only on
CPUs with VNNI; `exact_reference` says whether this is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from vla_isa.numerics import quantize
from vlac.errors import ModelError
from vlac.ir.graph import ConcatOp, Graph, Tensor, View
from vlac.ir.moves import SelectOp
from vlac.passes import Compilation

__all__ = ["NodeCheck", "check_nodes", "device_tensors", "exact_reference"]

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class NodeCheck:
    """One tensor: how many elements, how many differ, and by how much at most (in units of the last place)."""

    name: str
    elements: int
    different: int
    largest: int

    @property
    def ok(self) -> bool:
        """At most 1 everywhere and equal in 99.9 % of elements."""
        return self.largest <= 1 and self.different <= self.elements * 1e-3


def exact_reference() -> bool:
    """Whether ONNX Runtime's integer kernels are exact here: a CPU with VNNI (unknown systems count as not)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_vnni" in flags or "avx_vnni" in flags


def check_nodes(state: Compilation, inputs: Arrays, outputs: Arrays) -> list[NodeCheck]:
    """Compare every tensor of a program compiled with `keep_all`.

    Args:
        state: what `compile_file` returned.
        inputs: the arrays the program ran on, float32 by ONNX name.
        outputs: the program's raw int8 outputs by name.

    Raises:
        ModelError: the compilation did not keep its tensors.
    """
    if state.graph is None or state.qdq is None or not state.options.keep_all:
        raise ModelError("node by node comparison needs a compilation with keep_all")
    quantized = {name for n in state.qdq.graph.node if n.op_type == "DequantizeLinear" for name in n.input[:1]}
    known = [(t, q) for t, q in device_tensors(state.graph, inputs, outputs) if t.name in quantized]
    model, targets = _opened(state.qdq, {t.name: t for t, _ in known})
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    used = {i.name for i in session.get_inputs()}
    feeds = {t.name: _as_model(t, q) for t, q in known if t.name in used}
    feeds |= {name: array for name, array in inputs.items() if name in used and name not in feeds}
    reference = dict(zip(targets, session.run([f"{t}__reference" for t in targets], feeds), strict=True))
    checks = []
    for tensor, q in known:
        if tensor.name in reference:
            difference = np.abs(reference[tensor.name].astype(np.int64) - _as_model(tensor, q).astype(np.int64))
            checks.append(NodeCheck(tensor.label, difference.size, int((difference > 0).sum()), int(difference.max())))
    return checks


def device_tensors(graph: Graph, inputs: Arrays, outputs: Arrays) -> list[tuple[Tensor, NDArray[np.int8]]]:
    """Every tensor the device read or wrote, with its int8 values in the ONNX shape."""
    found: dict[Tensor, NDArray[np.int8]] = {}
    for tensor in graph.inputs:
        array = inputs[graph.input_labels[tensor][0]]
        array = array.reshape(-1)[graph.input_moves[tensor]] if tensor in graph.input_moves else array
        array = array.reshape(tensor.shape)
        found[tensor] = array if array.dtype == np.int8 else quantize(array, tensor.scale, tensor.zero_point)
    for out in graph.outputs:
        name = out.tensor.name if out.name.startswith("keep:") else out.name
        found[out.tensor] = out.tensor_values(outputs[name])
    for op in graph.ops:  # what has no instruction of its own
        parts = [found[t] for t in op.inputs if t in found]
        if isinstance(op, (View, ConcatOp, SelectOp)) and len(parts) == len(op.inputs):
            found[op.output] = op.rearranged(parts)
    for tensor, holder, index in graph.aliases:
        if holder in found:
            found[tensor] = found[holder].reshape(-1)[index].reshape(tensor.shape)
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
    for name, tensor in known.items():
        if name in float_inputs:
            continue
        kind = TensorProto.UINT8 if tensor.unsigned else TensorProto.INT8
        graph.input.append(helper.make_tensor_value_info(name, kind, tensor.shape))
        if name in targets:
            graph.output.append(helper.make_tensor_value_info(f"{name}__reference", kind, None))
    return model, targets
