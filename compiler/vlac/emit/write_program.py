"""Packets, constants, weights and descriptions as a Program; checked before anyone sees it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa import hazards, validate
from vla_isa.encoding import encode, make_packet
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import HEAP_BYTES, HardwareConfig
from vla_isa.packet import Packet
from vla_isa.program import MapEntry, Program, Segment, SourceEntry
from vla_isa.signature import Signature
from vla_isa.tasks import DENSE
from vlac.emit.ordered import in_order
from vlac.emit.pack_params import pack_params
from vlac.emit.pack_weights import pack_weights
from vlac.emit.prefetch import with_loads
from vlac.emit.rounds import with_rounds
from vlac.emit.schedule import schedule
from vlac.emit.tasks import Dense, TaskCounts, add_tasks, everything_live, image_of, masked_convs, param_starts
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.packet import RelocatablePacket
from vlac.plan.data_space import DataSpace
from vlac.plan.plan import Plan
from vlac.plan.program_plan import ProgramPlan
from vlac.plan.regions import Regions
from vlac.plan.rounds import first_round_stage

__all__ = ["write_program"]

_PER_HEAP = HEAP_BYTES // PACKET_BYTES


def write_program(graph: Graph, planned: ProgramPlan, hw: HardwareConfig) -> Program:
    """The whole program of a planned graph.

    Raises:
        UnsupportedError: a value of the model that does not fit its field.
        ProgramError, HazardError: a bug of the compiler: the program would not be legal.
    """
    plan, regions, data = planned.plan, planned.regions, planned.data.copy()
    nothing = np.zeros((0, hw.param_word_bytes), np.uint8)
    owned = [
        p if owner == number else None for number, (p, owner) in enumerate(zip(plan.plans, plan.owners, strict=True))
    ]
    params = [
        nothing if p is None else np.concatenate([pack_params(op, p.cut, hw) for op in p.op.experts]) for p in owned
    ]
    image = np.concatenate(params) if params else nothing
    weights, convs = _weight_words(plan, hw), masked_convs(plan, param_starts(plan), hw)
    if convs:
        image = image_of(image, weights, convs, everything_live(convs), hw)
    if image.size:
        data.constants.append(Segment(planned.params_line, image.tobytes()))
    sizes = [(0, 1) if p is None else (p.cut.params.size, len(p.op.experts)) for p in owned]
    ordered = schedule(graph, plan, regions, data, hw)
    _check_carried(ordered, data)
    open_order = with_rounds(
        ordered,
        first_round_stage(graph, plan),
        len(plan.stages),
        graph.repeat,
        lambda part: with_loads(part, sizes, planned.params_line, regions.ring_words, hw),
    )
    packets, scheduled = in_order(open_order, hw)
    heaps, numbers = _heaps(packets, data)
    program = Program(
        config=hw,
        heaps=heaps,
        constants=data.constants,
        weights=weights,
        data_bytes=data.bytes,
        entries={DENSE: 0},
        inputs=data.inputs,
        outputs=data.outputs,
        memory_map=[*data.memory_map, *_act_map(regions, scheduled, packets, numbers)],
        sources=[
            SourceEntry(n, p.node, p.op or p.name.lower(), p.macs) for n, p in zip(numbers, scheduled, strict=True)
        ],
        manifest={"layers": _layers(graph, hw)},
        signature=_signature(graph),
    )
    if graph.tasks:
        counts = TaskCounts(plan, convs)
        dense = Dense(open_order, scheduled, image, planned.params_line)
        add_tasks(program, graph.tasks, data, dense, counts)
    validate.validate(program, run=hazards.checking(program))
    return program


def _check_carried(ordered: list[RelocatablePacket], data: DataSpace) -> None:
    """Refuse what reads carried state after the next run's has taken its place.

    Raises:
        UnsupportedError: names the state.
    """
    places = {t.line for t in data.outputs}
    for t in data.inputs:
        if t.line not in places:
            continue
        inside = range(t.line, t.line + t.layout.lines)
        loads = [i for i, p in enumerate(ordered) if p.op == "load" and p.values["src"] in inside]
        stores = [i for i, p in enumerate(ordered) if p.op == "store" and p.values["dst"] in inside]
        if loads and stores and loads[-1] > stores[0]:
            text = "it is read after the next run's is written; read it earlier in the model, or carry it by the host"
            raise UnsupportedError([f"state '{t.name}' cannot stay in the data space: {text}"])


def _weight_words(plan: Plan, hw: HardwareConfig) -> NDArray[np.int8]:
    """The weight space: the words of all layers in order, equal ones once."""
    packed = [np.zeros((0, hw.weight_word_bytes), np.int8)]
    for number, (p, owner) in enumerate(zip(plan.plans, plan.weight_owners, strict=True)):
        if p.op.weights is not None and p.cut.weights is not None and owner == number:
            for op in p.op.experts:
                assert op.weights is not None
                packed.append(pack_weights(op, op.weights, p.cut.weights, hw.block))
    return np.concatenate(packed)


def _signature(graph: Graph) -> Signature | None:
    """The graph's, with the values that its inputs take."""
    if graph.signature is None:
        return None
    return replace(graph.signature, feeds=[graph.input_labels[t][1] for t in graph.inputs])


def _heaps(packets: list[Packet], data: DataSpace) -> tuple[list[Segment], list[int]]:
    """Heap segments ended by HALT and joined by JUMP, and the number of each packet."""
    segments: list[Segment] = []
    numbers: list[int] = []
    rest = [encode(p) for p in packets] + [encode(make_packet("HALT"))]
    line = count = 0
    if len(rest) > _PER_HEAP and any(p.name == "LOOP" for p in packets):  # a loop lies in one heap
        line = data.take(len(rest), "instructions")
        segments.append(Segment(0, encode(make_packet("JUMP", target=line))))
        segments.append(Segment(line, b"".join(rest)))
        return segments, list(range(1, len(packets) + 1))
    while rest:
        here, rest = (rest, []) if len(rest) <= _PER_HEAP else (rest[: _PER_HEAP - 1], rest[_PER_HEAP - 1 :])
        numbers += range(count, count + len(here))
        following = data.take(min(len(rest), _PER_HEAP), "instructions") if rest else 0
        if rest:
            here.append(encode(make_packet("JUMP", target=following)))
        segments.append(Segment(line, b"".join(here)))
        line, count = following, count + len(here)
    return segments, numbers[: len(packets)]


def _act_map(
    regions: Regions, scheduled: list[RelocatablePacket], packets: list[Packet], numbers: list[int]
) -> list[MapEntry]:
    """Regions of the activation scratchpad with the packets that read or write them."""
    of_stage = defaultdict[int, list[tuple[int, list[int]]]](list)  # packets, and where their regions begin
    for number, made, p in zip(numbers, scheduled, packets, strict=True):
        of_stage[made.stage].append((number, [p[field] for field in p.instruction.act_bases(p)]))
    entries = []
    for item in regions.items:
        inside = range(item.base, item.base + item.size)
        users = [
            number
            for stage in range(item.first, item.last + 1)
            for number, bases in of_stage.get(stage, ())
            if any(w in inside for w in bases)
        ]
        span = min(users, default=0), max(users, default=0)
        entries.append(MapEntry(item.tensor.label, "act", item.base, item.size, *span))
    return entries


def _layers(graph: Graph, hw: HardwareConfig) -> list[dict[str, object]]:
    """What `vlac report` and `vlac verify` read: each operation with its tensors, bands as the one that they are of."""
    return [
        {
            "node": op.node,
            "op": op.op_type,
            "inputs": [t.name for t in op.inputs if t.constant is None],
            "output": op.output.name,
            "label": op.output.label,
            "shape": list(op.output.shape),
            "type": op.output.type.name,
            "scale": op.output.scale,
            "zero_point": op.output.zero_point,
        }
        for op in dict.fromkeys(op.whole or op for op in graph.ops)
    ]
