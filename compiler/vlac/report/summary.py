"""The numbers of a program: sizes, MACs, estimated cycles, per packet and per layer."""

from __future__ import annotations

from typing import Any

from vla_isa import timing
from vla_isa.engine_cycles import packet_cost
from vla_isa.footprint import footprint
from vla_isa.hardware import BEAT_BYTES
from vla_isa.program import IoTensor, MapEntry, Program
from vla_isa.signature import Signature
from vla_isa.trace import walk
from vlac.report.operations import operations

__all__ = ["estimate_rows", "layer_rows", "summary", "weight_regions"]

Row = dict[str, Any]


def summary(program: Program) -> Row:
    """What `vlac info --json` prints; of a program of several entry points, of the first."""
    estimate = timing.estimate(program)
    cycles, macs = estimate.total_cycles, estimate.macs  # all rounds of a loop
    several = len(program.entries) > 1
    steps = {s.number for s in walk(program, next(iter(program.entries.values())))} if several else None
    hw, signature = program.config, program.model
    return {
        "config": hw.name,
        "packets": sum(len(h.data) for h in program.heaps) // 64 if steps is None else len(steps),
        "macs": macs,
        "cycles": cycles,
        "milliseconds": cycles / hw.clock_mhz / 1000,
        "utilization": macs / (cycles * hw.macs_per_cycle),
        "weight_bytes": int(program.weights.size),
        "data_bytes": program.data_bytes,
        "constant_bytes": sum(len(c.data) for c in program.constants),
        "entries": program.entries,
        "model_inputs": [vars(v) for v in program.model_inputs],
        "model_outputs": [vars(v) for v in program.model_outputs],
        "inputs": [_io(t, signature.steps(number)) for t, number in zip(program.inputs, signature.feeds, strict=True)],
        "outputs": [_io(t, _behind(signature, i)) for i, t in enumerate(program.outputs)],
        "memory_map": [vars(m) for m in program.memory_map],
    }


def _io(t: IoTensor, host: list[str]) -> Row:
    """A tensor of the device; `host`: what is computed in front of it, or of it."""
    return {
        "name": t.name,
        "shape": list(t.layout.shape),
        "scale": t.scale,
        "zero_point": t.zero_point,
        "host": host,
    }


def _behind(signature: Signature, number: int) -> list[str]:
    """What the host computes of an output of the device."""
    made = [o.source for o in signature.outputs if number in signature.device_outputs(o.source)]
    return [step for source in made for step in signature.steps(source)]


def estimate_rows(program: Program) -> list[Row]:
    """One row per packet in program order."""
    nodes = {s.packet: s.node for s in program.sources}
    peak = program.config.macs_per_cycle
    return [
        {
            "index": p.number,
            "op": p.op,
            "queue": p.queue,
            "node": nodes.get(p.number, ""),
            "start": p.start,
            "end": p.end,
            "cycles": p.cycles,
            "macs": p.macs,
            "utilization": p.macs / (max(p.cycles, 1) * peak),
            "bound": p.bound,
        }
        for p in timing.estimate(program).packets
    ]


def layer_rows(program: Program) -> list[Row]:
    """One row per node: MACs, cycles from the first start to the last end of its MAC and VEC packets, bound, bytes."""
    moved = _traffic(program)
    layers: dict[str, Row] = {}
    for row in estimate_rows(program):
        if row["queue"] not in ("mac", "vec") or not row["node"]:
            continue
        layer = layers.setdefault(
            row["node"],
            {
                "node": row["node"],
                "op": row["op"],
                "packets": 0,
                "macs": 0,
                "busy": 0,
                "start": row["start"],
                "end": 0,
                "bounds": {},
            },
        )
        layer["packets"] += 1
        layer["macs"] += row["macs"]
        layer["busy"] += row["cycles"]
        layer["end"] = max(layer["end"], row["end"])
        layer["bounds"][row["bound"]] = layer["bounds"].get(row["bound"], 0) + row["cycles"]
    known = {entry.node: entry for entry in operations(program)}
    kinds = {entry.node: entry.op for entry in reversed(operations(program))}
    for name, layer in layers.items():
        layer |= dict(zip(("weight_bytes", "read_bytes", "write_bytes"), moved.get(name, (0, 0, 0)), strict=True))
        bounds = layer.pop("bounds")
        layer["bound"] = max(bounds, key=lambda b: bounds[b])
        if name in known:
            entry = known[name]
            layer |= {key: getattr(entry, key) for key in ("label", "type", "scale", "zero_point")}
            layer |= {"shape": list(entry.shape), "kind": kinds[name]}
    return list(layers.values())


def _traffic(program: Program) -> dict[str, tuple[int, int, int]]:
    """By node: bytes of weights and parameters, of data read for it, and of its results stored.

    Data is loaded just ahead of its first reader, and stored behind the node whose result it is.
    """
    nodes = {s.packet: s.node for s in program.sources}
    makers = {entry.label: entry.node for entry in operations(program)}
    out: dict[str, tuple[int, int, int]] = {}
    loaded, last = 0, ""
    for step in walk(program, next(iter(program.entries.values()))):
        packet, node = step.packet, nodes.get(step.number, "")
        if packet.queue in ("mac", "vec"):
            last = node
            weights, data, stored = out.get(node, (0, 0, 0))
            out[node], loaded = (weights, data + loaded, stored), 0
        elif packet.name == "COPY":
            cost = packet_cost(packet, program.config, step.params)
            read, write = cost.read_beats * BEAT_BYTES, cost.write_beats * BEAT_BYTES
            owner = makers.get(node, last) if write else node
            weights, data, stored = out.get(owner, (0, 0, 0))
            out[owner] = (weights + (read if packet.queue == "wload" else 0), data, stored + write)
            loaded += read if packet.queue == "load" else 0
    return out


def weight_regions(program: Program) -> list[MapEntry]:
    """Who lies where in the weight space, in words, from the packets that load it."""
    nodes = {s.packet: s.node for s in program.sources}
    spans: dict[str, tuple[int, int, int, int]] = {}
    for step in walk(program, next(iter(program.entries.values()))):
        node = nodes.get(step.number, "")
        if not node:
            continue
        for access in footprint(step.packet, program.config, step.params):
            if access.space == "weight_hbm":
                first, last = int(access.words.min()), int(access.words.max())
                a, b, start, end = spans.get(node, (first, last, step.number, step.number))
                spans[node] = (min(a, first), max(b, last), min(start, step.number), max(end, step.number))
    return [MapEntry(n, "weight_hbm", a, b - a, start, end) for n, (a, b, start, end) in spans.items()]
