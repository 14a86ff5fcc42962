"""Packets, constants, weights and descriptions as a Program; checked before anyone sees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_isa import hazards, validate
from vla_isa.encoding import encode, make_packet
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import HEAP_BYTES, LINE_BYTES, HardwareConfig
from vla_isa.packet import Packet
from vla_isa.program import MapEntry, Program, Segment, SourceEntry
from vla_isa.signature import Signature
from vlac.allocate.data_space import DataSpace, place_data
from vlac.allocate.regions import Regions
from vlac.emit.drafts import Draft
from vlac.emit.prefetch import with_loads
from vlac.emit.schedule import schedule
from vlac.emit.semaphores import assign_semaphores
from vlac.ir.graph import Graph
from vlac.tile.plan import Plan

__all__ = ["write_program"]

_PER_HEAP = HEAP_BYTES // PACKET_BYTES


def write_program(graph: Graph, plan: Plan, regions: Regions, hw: HardwareConfig) -> Program:
    """The whole program of a planned and allocated graph.

    Raises:
        ProgramError, HazardError: a bug of the compiler: the program would not be legal.
    """
    data = place_data(graph, plan, hw.block)
    plans = [p for s in plan.stages for p in s.plans]
    params = [p.params.words for p in plans if p.params is not None]
    sizes = [0 if p.params is None else len(p.params.words) for p in plans]
    image = np.concatenate(params) if params else np.zeros((0, hw.param_word_bytes), np.uint8)
    params_line = data.add_constant(image, "parameters") if image.size else 0
    drafts = with_loads(schedule(graph, plan, regions, data, hw), sizes, params_line, hw)
    packets = [make_packet(d.name, **d.values) for d in drafts]
    masks = assign_semaphores(packets, hw)
    packets = [
        Packet(p.instruction, {**p.values, "wait": w, "signal": s}) for p, (w, s) in zip(packets, masks, strict=True)
    ]
    heaps, numbers = _heaps(packets, data)
    weights = [p.weights.words for p in plans if p.weights is not None]
    program = Program(
        config=hw,
        heaps=heaps,
        constants=data.constants,
        weights=np.concatenate(weights) if weights else np.zeros((0, hw.weight_word_bytes), np.int8),
        data_bytes=-(-data.lines // 64) * 64 * LINE_BYTES,
        entries={"main": 0},
        inputs=data.inputs,
        outputs=data.outputs,
        memory_map=[*data.memory_map, *_act_map(regions, drafts, packets, numbers)],
        sources=[SourceEntry(n, d.node, d.op or d.name.lower(), d.macs) for n, d in zip(numbers, drafts, strict=True)],
        manifest={"layers": _layers(graph, hw)},
        signature=_signature(graph),
    )
    validate.validate(program)
    hazards.check(program)
    return program


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
    while rest:
        here, rest = (rest, []) if len(rest) <= _PER_HEAP else (rest[: _PER_HEAP - 1], rest[_PER_HEAP - 1 :])
        numbers += range(count, count + len(here))
        following = data.take(min(len(rest), _PER_HEAP), "instructions") if rest else 0
        if rest:
            here.append(encode(make_packet("JUMP", target=following)))
        segments.append(Segment(line, b"".join(here)))
        line, count = following, count + len(here)
    return segments, numbers[: len(packets)]


def _act_map(regions: Regions, drafts: list[Draft], packets: list[Packet], numbers: list[int]) -> list[MapEntry]:
    """Regions of the activation scratchpad with the packets that read or write them."""
    words = [[p[field] for field in p.instruction.act_bases(p)] for p in packets]  # where its regions begin
    entries = []
    for item in regions.items:
        inside = range(item.base, item.base + item.size)
        users = [
            number
            for number, draft, bases in zip(numbers, drafts, words, strict=True)
            if item.first <= draft.stage <= item.last and any(w in inside for w in bases)
        ]
        span = min(users, default=0), max(users, default=0)
        entries.append(MapEntry(item.tensor.label, "act", item.base, item.size, *span))
    return entries


def _layers(graph: Graph, hw: HardwareConfig) -> list[dict[str, object]]:
    """What `vlac report` and `vlac verify` read: each operation with its tensors."""
    return [
        {
            "node": op.node,
            "op": op.op_type,
            "inputs": [t.name for t in op.inputs if t.constant is None],
            "output": op.output.name,
            "label": op.output.label,
            "shape": list(op.output.shape),
            "scale": op.output.scale,
            "zero_point": op.output.zero_point,
        }
        for op in graph.ops
    ]
