"""The numbers of a program: sizes, MACs, estimated cycles, per packet and per layer."""

from __future__ import annotations

from typing import Any

from vla_isa import timing
from vla_isa.program import IoTensor, Program

__all__ = ["estimate_rows", "layer_rows", "summary"]

Row = dict[str, Any]


def summary(program: Program) -> Row:
    """What `vlac info --json` prints."""
    cycles = timing.estimate(program).total_cycles
    macs = sum(s.macs for s in program.sources)
    hw = program.config
    return {
        "config": hw.name,
        "packets": sum(len(h.data) for h in program.heaps) // 64,
        "macs": macs,
        "cycles": cycles,
        "milliseconds": cycles / hw.clock_mhz / 1000,
        "utilization": macs / (cycles * hw.macs_per_cycle),
        "weight_bytes": int(program.weights.size),
        "data_bytes": program.data_bytes,
        "constant_bytes": sum(len(c.data) for c in program.constants),
        "entries": program.entries,
        "inputs": [_io(t) for t in program.inputs],
        "outputs": [_io(t) for t in program.outputs],
        "memory_map": [vars(m) for m in program.memory_map],
    }


def _io(t: IoTensor) -> Row:
    return {
        "name": t.name,
        "shape": list(t.layout.shape),
        "scale": t.scale,
        "zero_point": t.zero_point,
        "dtype": t.onnx_dtype,
    }


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
    """One row per node: MACs, cycles from the first start to the last end of its MAC and VEC packets, bound."""
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
    known = {entry["node"]: entry for entry in program.manifest.get("layers", [])}
    for name, layer in layers.items():
        bounds = layer.pop("bounds")
        layer["bound"] = max(bounds, key=lambda b: bounds[b])
        layer |= {k: known[name][k] for k in ("shape", "scale", "zero_point") if name in known}
    return list(layers.values())
