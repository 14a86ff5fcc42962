"""Compile a model with host partitions: refuse nothing that ONNX Runtime can do, but say what runs there and why.

Nodes that break a rule are known before quantization and stay float. What the machine refuses later (a value without
scale, a layer that does not fit) goes to the host too, and the model is cut again until all device segments compile;
segments that stay the same are not compiled again. Without any host node the result is a plain program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from vla_isa.files import write_whole
from vla_isa.package import ANY_SIZE, MAX_PARTITIONS, HostNode, HostPartition, Package, Value
from vla_isa.program import Program
from vlac.errors import AllocationError, Refusal, UnsupportedError, grouped
from vlac.import_onnx.flow import Flow
from vlac.model.reading import dtype_of
from vlac.partition.cut import Segment, cut
from vlac.partition.direct_partition import add_direct_outputs
from vlac.partition.stages import with_neighbours
from vlac.passes import Compilation, Pass, run_passes
from vlac.pipeline import PASSES
from vlac.quantize.rounding import rounding_of
from vlac.quantize.static import Quantized

__all__ = ["compile_with_host"]

_REWRITTEN, _QUANTIZED = 2, 3  # passes until then

Error = UnsupportedError | AllocationError
Progress = Callable[[str], None]


@dataclass
class _Work:
    """A part and the passes that it still needs."""

    state: Compilation
    left: list[Pass] = field(default_factory=lambda: list(PASSES[_QUANTIZED:]))


def compile_with_host(state: Compilation, on_progress: Progress) -> None:
    """Fill `state.program`, or `state.package` and `state.partitions` where nodes run on the host.

    Raises:
        VlaError: as `compile_file` does; also where no node at all can run on the machine.
    """
    run_passes(PASSES[:_REWRITTEN], state, write_whole, on_progress)
    assert state.model is not None and state.source is not None
    _extend(state, Flow(state.model), {})
    run_passes(PASSES[_REWRITTEN:_QUANTIZED], state, write_whole, on_progress)
    flow = Flow(state.model)
    if not state.host and state.tail is None:
        errors = _compiled([_Work(state)], on_progress)
        if not errors:
            return
        _extend(state, flow, _refused(flow, errors))
    segments = _compile_segments(state, flow, on_progress)
    state.package = _package(state, flow, segments)
    add_direct_outputs(state.package, state.direct, [v.name for v in state.source.light.graph.output])
    for each in PASSES[_QUANTIZED:]:
        if each.name in state.options.dump_after:
            write_whole(state.options.dump_after[each.name], b"\n".join(each.dump(p) for p in state.partitions))


def _compile_segments(state: Compilation, flow: Flow, on_progress: Progress) -> list[Segment]:
    """Cut and compile until no device segment is refused; `state.partitions` are then its device segments."""
    known: dict[tuple[object, ...], _Work] = {}
    while True:
        errors: list[Error] = []
        try:
            segments = cut(flow, state.host)
            for segment in (s for s in segments if s.key not in known and not s.on_host):
                known[segment.key] = _Work(_part(state, flow, segment))
        except UnsupportedError as e:
            errors = [e]
        else:
            works = [known[s.key] for s in segments if not s.on_host]
            state.partitions = [w.state for w in works]
            errors = _compiled(works, on_progress)
        more = _refused(flow, errors) if errors else _too_many(state, segments)
        if not more:
            return segments
        if set(more) <= set(state.host):
            raise errors[0]
        _extend(state, flow, more)


def _too_many(state: Compilation, segments: list[Segment]) -> dict[str, str]:
    """Nodes of the smallest device segments where a file cannot hold all partitions; each joins two host partitions."""
    count = len(segments) + (state.tail is not None) + bool(state.direct)
    if count <= MAX_PARTITIONS:
        return {}

    def size(pair: tuple[Segment, Compilation]) -> int:
        assert pair[1].program is not None
        return sum(s.macs for s in pair[1].program.sources)

    device = sorted(zip([s for s in segments if not s.on_host], state.partitions, strict=True), key=size)
    limit = MAX_PARTITIONS
    reason = f"the program would have more partitions than the {limit} of a file: its smallest ones run on the host."
    return {str(n.name): reason for s, _ in device[: (count - limit + 1) // 2] for n in s.nodes}


def _part(state: Compilation, flow: Flow, segment: Segment) -> Compilation:
    part = Compilation(state.path, state.hw, replace(state.options, dump_after={}), source=state.source)
    part.model, part.seconds = segment.model(flow), state.seconds
    part.quantized = Quantized(part.model)
    return part


def _compiled(works: Sequence[_Work], on_progress: Progress) -> list[Error]:
    """Run each pass on all parts; the errors of the first pass that has some."""
    for each in PASSES[_QUANTIZED:]:
        errors: list[Error] = []
        for work in (w for w in works if each in w.left):
            try:
                run_passes((each,), work.state, write_whole, on_progress)
                work.left.remove(each)
            except (UnsupportedError, AllocationError) as e:
                errors.append(e)
        if errors:
            return errors
    return []


def _refused(flow: Flow, errors: list[Error]) -> dict[str, str]:
    """The nodes that errors are about, with the reasons.

    Raises:
        VlaError: one of the errors, which is about no node.
    """
    found: dict[str, str] = {}
    for error in errors:
        about = _reasons(error)
        nodes = {name: reason for label, reason in about.items() for name in sorted(flow.responsible(label))}
        if not nodes:
            raise error
        found |= nodes
    return found


def _reasons(error: Error) -> dict[str, str]:
    """Label -> reason."""
    if isinstance(error, AllocationError):
        return {error.node: str(error)}
    if error.refusals:
        return {r.node: r.reason for r in error.refusals}
    texts = error.reasons if len(error.reasons) == len(error.nodes) else ["; ".join(error.reasons)] * len(error.nodes)
    return {label: t.partition(f" '{label}': ")[2] or t for label, t in zip(error.nodes, texts, strict=True)}


def _extend(state: Compilation, flow: Flow, more: dict[str, str]) -> None:
    """Let more nodes run on the host, and what is not worth handing over between them.

    Raises:
        UnsupportedError: none is left for the machine, or the model rounds as no host does.
    """
    state.host = state.host | {name: reason for name, reason in more.items() if name not in state.host}
    if state.host:
        state.host = with_neighbours(flow, state.host)
    if not state.host and state.tail is None:
        return
    if rounding_of(flow.model):
        lines = ["a host rounds to nearest even, not as this model does", *_why(state, flow)]
        raise UnsupportedError(["\n  ".join(lines)])
    if all(n.name in state.host for n in flow.compute):
        lines = ["no node of the model can run on the machine, so there is no program to make", *_why(state, flow)]
        raise UnsupportedError(["\n  ".join(lines)])


def _why(state: Compilation, flow: Flow) -> list[str]:
    """Why nodes run on the host, one line per cause."""
    hosted = [Refusal(n.op_type, str(n.name), state.host[str(n.name)]) for n in flow.compute if n.name in state.host]
    return grouped([*hosted, *(state.tail.refusals if state.tail is not None else ())])


def _package(state: Compilation, flow: Flow, segments: list[Segment]) -> Package:
    parts: list[Program | HostPartition] = []
    device = iter(state.partitions)
    for segment in segments:
        if segment.on_host:
            nodes = tuple(HostNode(str(n.name), n.op_type, state.host[str(n.name)]) for n in segment.nodes)
            parts.append(_host_partition(segment.model(flow), nodes))
        else:
            program = next(device).program
            assert program is not None
            parts.append(program)
    outputs: Sequence[ir.Value] = flow.graph.outputs
    if state.tail is not None:
        outputs = state.tail.outputs
        nodes = tuple(HostNode(r.node, r.op, r.reason) for r in state.tail.refusals)
        parts.append(_host_partition(state.tail.model, nodes))
    return Package([_value(v) for v in flow.graph.inputs], [_value(v) for v in outputs], parts)


def _host_partition(model: ir.Model, nodes: tuple[HostNode, ...]) -> HostPartition:
    inputs, outputs = (tuple(str(v.name) for v in values) for values in (model.graph.inputs, model.graph.outputs))
    return HostPartition(ir.to_proto(model).SerializeToString(), inputs, outputs, nodes)


def _value(value: ir.Value) -> Value:
    """An input or output of the model; a size that differs between runs is -1."""
    sizes = tuple(d if isinstance(d, int) else ANY_SIZE for d in value.shape or ())
    return Value(str(value.name), sizes, dtype_of(value) or str(value.dtype).lower())
