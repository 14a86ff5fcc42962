"""What host parts cost: per part its nodes and reasons, bytes moved to and from it, cycles or measured time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime

from vla_isa import timing
from vla_isa.bundle import Bundle, HostNode, HostPart
from vla_isa.hardware import LINE_BYTES
from vla_isa.program import IoTensor, Program

__all__ = ["PartCost", "part_costs", "parts_text"]

_RUNS = 3


@dataclass(frozen=True)
class PartCost:
    """One part: `bytes_in` and `bytes_out` cross between host memory and the device's data space.

    `milliseconds` is estimated for the device and measured on this machine, best of three, for the host.
    """

    number: int
    kind: str
    nodes: tuple[HostNode, ...]
    bytes_in: int
    bytes_out: int
    cycles: int
    milliseconds: float
    layers: int


def part_costs(bundle: Bundle) -> list[PartCost]:
    """The cost of every part, in order."""
    return [_host(i, p) if isinstance(p, HostPart) else _device(i, p) for i, p in enumerate(bundle.parts)]


def _device(number: int, program: Program) -> PartCost:
    def moved(tensors: list[IoTensor]) -> int:
        return sum(t.layout.lines * LINE_BYTES for t in tensors)

    cycles = timing.estimate(program).total_cycles
    layers = len({s.node for s in program.sources if s.macs})
    ms = cycles / program.config.clock_mhz / 1000
    return PartCost(number, "device", (), moved(program.inputs), moved(program.outputs), cycles, ms, layers)


def _host(number: int, part: HostPart) -> PartCost:
    model = onnx.load_from_string(part.model)
    rng = np.random.default_rng(0)
    feeds = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape, dtype = [d.dim_value for d in kind.shape.dim], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        feeds[value.name] = rng.random(shape).astype(dtype)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(part.model, options, providers=["CPUExecutionProvider"])
    best, made = np.inf, []
    for _ in range(_RUNS):
        start = time.perf_counter()
        made = session.run(None, feeds)
        best = min(best, time.perf_counter() - start)
    sizes = sum(a.nbytes for a in feeds.values()), sum(a.nbytes for a in made)
    return PartCost(number, "host", part.nodes, *sizes, 0, 1000 * float(best), len(part.nodes))


def parts_text(costs: list[PartCost]) -> str:
    """The table for a person."""
    lines = [f"{'part':>4}  {'runs on':<7} {'layers':>6} {'bytes in':>10} {'bytes out':>10} {'cycles':>11} {'ms':>9}"]
    for c in costs:
        cycles = f"{c.cycles:,}" if c.kind == "device" else "-"
        lines.append(
            f"{c.number:>4}  {c.kind:<7} {c.layers:>6} {c.bytes_in:>10,} {c.bytes_out:>10,} {cycles:>11} "
            f"{c.milliseconds:>9.3f}"
        )
        lines += [f"      on the host: {n.reason}" for n in c.nodes]
    lines.append("(device time is estimated, host time measured on this machine)")
    return "\n".join(lines)
