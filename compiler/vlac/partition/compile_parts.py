"""Compile a model with host parts: refuse nothing that ONNX Runtime can do, but say what runs there and why.

Nodes that break a rule are known before quantization and stay float. What the machine refuses later (a value
without scale, a layer that does not fit) goes to the host too, and the model is cut again until all device
segments compile. Without any such node the result is a plain program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import onnx

from vla_isa.bundle import Bundle, HostNode, HostPart, Value
from vla_isa.files import write_whole
from vla_isa.program import Program
from vlac.errors import AllocationError, UnsupportedError
from vlac.import_onnx import parse_model
from vlac.partition.cut import Cutter, Segment
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES
from vlac.quantize.static import Quantized

__all__ = ["compile_with_host"]

_BEFORE = 3  # import, rewrite, quantize


def compile_with_host(state: Compilation, on_progress: Callable[[str], None]) -> None:
    """Fill `state.program`, or `state.bundle` and `state.parts` where nodes run on the host.

    Raises:
        VlaError: as `compile_file` does; also where no node at all can run on the machine.
    """
    run_passes(PASSES[:_BEFORE], state, write_whole, on_progress)
    cutter = Cutter(state.qdq)
    while True:
        try:
            if not state.host:
                run_passes(PASSES[_BEFORE:], state, write_whole, on_progress)
            else:
                _compile_parts(state, cutter.cut(state.host), on_progress)
            return
        except (UnsupportedError, AllocationError) as e:
            more = _host_nodes(cutter, e)
            if not more or set(more) <= set(state.host):
                raise
            state.host |= more


def _host_nodes(cutter: Cutter, error: UnsupportedError | AllocationError) -> dict[str, str]:
    """The nodes that an error is about, with its reasons."""
    if isinstance(error, AllocationError):
        return {name: str(error) for name in cutter.responsible(error.node)}
    reasons = error.reasons if len(error.reasons) == len(error.nodes) else [str(error)] * len(error.nodes)
    return {n: r for label, r in zip(error.nodes, reasons, strict=True) for n in sorted(cutter.responsible(label))}


def _compile_parts(state: Compilation, segments: list[Segment], on_progress: Callable[[str], None]) -> None:
    if all(s.on_host for s in segments):
        raise UnsupportedError(["no node of the model can run on the machine:", *dict.fromkeys(state.host.values())])
    parts: list[Program | HostPart] = []
    state.parts = []
    operators = {n.name: n.op_type for s in segments for n in s.model.graph.node}
    for segment in segments:
        if segment.on_host:
            nodes = tuple(HostNode(n, operators[n], state.host[n]) for n in segment.nodes)
            inputs, outputs = tuple(segment.inputs), tuple(segment.outputs)
            parts.append(HostPart(segment.model.SerializeToString(), inputs, outputs, nodes))
        else:
            part = _compile_segment(state, segment, on_progress)
            assert part.program is not None
            state.parts.append(part)
            parts.append(part.program)
    graph = state.qdq.graph
    state.bundle = Bundle([_value(v) for v in graph.input], [_value(v) for v in graph.output], parts)


def _compile_segment(state: Compilation, segment: Segment, on_progress: Callable[[str], None]) -> Compilation:
    options = replace(state.options, dump_after={})
    part = Compilation(state.path, state.hw, options, source=state.source)
    part.model = parse_model(segment.model, str(state.path))
    part.quantized = Quantized(part.model)
    run_passes(PASSES[_BEFORE:], part, write_whole, on_progress)
    for name, seconds in part.seconds.items():
        state.seconds[name] = state.seconds.get(name, 0.0) + seconds
    return part


def _value(info: onnx.ValueInfoProto) -> Value:
    kind = info.type.tensor_type
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return Value(info.name, tuple(d.dim_value for d in kind.shape.dim), dtype)
