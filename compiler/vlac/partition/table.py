"""What host partitions cost: per partition bytes to and from it, cycles or measured time; why nodes run there.

Host time is measured on this machine, on the values that a sample gives where the caller has them, else on made-up
ones of the right shapes; a part that does not run on those has no time.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from vla_isa import timing
from vla_isa.hardware import LINE_BYTES
from vla_isa.package import HostNode, HostPartition, Package
from vla_isa.program import IoTensor, Program
from vlac.errors import ModelError, Refusal, grouped
from vlac.model.onnx_runtime import OnnxRuntimeError, OnnxSession

__all__ = ["PartitionCost", "partition_costs", "partitions_text", "refused_nodes", "total_text"]

_RUNS = 3
_WIDTH = 80
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class PartitionCost:
    """One partition: `bytes_in` and `bytes_out` cross between host memory and the device's data space.

    `milliseconds` is estimated for the device; for the host it is the best of three runs, None where it is not known.
    """

    number: int
    kind: str
    nodes: tuple[HostNode, ...]
    bytes_in: int
    bytes_out: int
    cycles: int
    milliseconds: float | None
    layers: int


def partition_costs(package: Package, values: Arrays | None = None) -> list[PartitionCost]:
    """The cost of every partition, in order.

    Args:
        package: the program.
        values: what its parts hand to each other for one sample, as far as it is known.

    Raises:
        ModelError: ONNX Runtime cannot load a host partition, or cannot run it on known values.
    """
    numbered = enumerate(package.partitions)
    return [_host(i, p, values or {}) if isinstance(p, HostPartition) else _device(i, p) for i, p in numbered]


def _device(number: int, program: Program) -> PartitionCost:
    def moved(tensors: list[IoTensor]) -> int:
        return sum(t.layout.lines * LINE_BYTES for t in tensors)

    cycles = timing.estimate(program).total_cycles
    layers = len({s.node for s in program.sources if s.macs})
    ms = cycles / program.config.clock_mhz / 1000
    return PartitionCost(number, "device", (), moved(program.inputs), moved(program.outputs), cycles, ms, layers)


def _host(number: int, part: HostPartition, values: Arrays) -> PartitionCost:
    where = f"partition {number}, on the host ({', '.join(n.node for n in part.nodes[:3])})"
    try:
        session = OnnxSession(part.model, optimized=True)
    except OnnxRuntimeError as e:
        raise ModelError(f"{where}: ONNX Runtime cannot load it: {e}") from e
    wanted = onnx.load_from_string(part.model).graph.input
    feeds = {v.name: values[v.name] if v.name in values else _made_up(v) for v in wanted}
    best, made = np.inf, []
    try:
        for _ in range(_RUNS):
            start = time.perf_counter()
            made = session.run(None, feeds)
            best = min(best, time.perf_counter() - start)
    except OnnxRuntimeError as e:
        if all(v.name in values for v in wanted):
            raise ModelError(f"{where}: ONNX Runtime cannot run it on a calibration sample: {e}") from e
    read, written = (sum(np.asarray(a).nbytes for a in arrays) for arrays in (feeds.values(), made))
    return PartitionCost(number, "host", part.nodes, read, written, 0, 1000 * best if made else None, len(part.nodes))


def _made_up(value: onnx.ValueInfoProto) -> NDArray[Any]:
    kind = value.type.tensor_type
    shape, dtype = [d.dim_value for d in kind.shape.dim], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return np.asarray(np.random.default_rng(0).random(shape)).astype(dtype)


# --- for a person ------------------------------------------------------------------------------------------


def total_text(costs: Sequence[PartitionCost]) -> str:
    """One run in words: cycles and time of the device, time of the host, what passes between them."""
    device = [c for c in costs if c.kind == "device"]
    host = [c.milliseconds for c in costs if c.kind == "host"]
    cycles, ms = sum(c.cycles for c in device), sum(c.milliseconds or 0.0 for c in device)
    moved = sum(c.bytes_in + c.bytes_out for c in device)
    known = f"about {sum(t for t in host if t is not None):.3g} ms on the host"
    more = " (without partitions of unknown time)" if None in host else ""
    return f"{cycles:,} cycles on the device ({ms:.3f} ms) + {known}{more}, {moved:,} bytes to and from the device"


def refused_nodes(costs: Sequence[PartitionCost]) -> list[Refusal]:
    """Why nodes run on the host, rule and what was found taken apart."""
    found = []
    for node in (n for c in costs for n in c.nodes):
        cause, _, rest = node.reason.partition(" Found ")
        found.append(Refusal(node.op, node.node, cause, rest.removesuffix(".")))
    return found


def partitions_text(costs: Sequence[PartitionCost]) -> str:
    """The table, its total, and one reason per cause."""
    lines = [f"partition  {'runs on':<7} {'nodes':>5} {'bytes in':>10} {'bytes out':>10} {'cycles':>11} {'ms':>9}"]
    for c in costs:
        cycles = f"{c.cycles:,}" if c.kind == "device" else "-"
        ms = "-" if c.milliseconds is None else f"{c.milliseconds:.3f}"
        lines.append(
            f"{c.number:>9}  {c.kind:<7} {c.layers:>5} {c.bytes_in:>10,} {c.bytes_out:>10,} {cycles:>11} {ms:>9}"
        )
    lines.append(f"total  {total_text(costs)}")
    lines.append("Device time is estimated, host time measured on this machine. On the host, and why:")
    for text in grouped(refused_nodes(costs)):
        lines += textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)
