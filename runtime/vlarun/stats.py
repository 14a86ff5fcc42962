"""Figures of a run: the `--stats` dictionary and a Chrome trace of the queues.

Per-instruction cycles are the performance model's on every backend; the totals are the machine's own where
the backend counts them (`rtl`).
"""

from __future__ import annotations

from typing import Any

from vla_isa.hardware import BEAT_BYTES
from vla_isa.program import Program
from vla_isa.timing import TimingReport
from vlarun.backends.base import RunResult

__all__ = ["chrome_trace", "run_stats", "summary"]


def run_stats(
    program: Program, backend: str, report: TimingReport, result: RunResult, runs: int, seconds: float
) -> dict[str, Any]:
    """What `--stats` writes: figures of one run (the last of `runs`), wall time of all."""
    nodes = _nodes(program)
    measured = result.counters if result.cycles_from == "machine" else report.counters
    cycles, peak = measured["cycles"], program.config.macs_per_cycle
    return {
        "backend": backend,
        "config": program.config.name,
        "cycles": cycles,
        "cycles_from": result.cycles_from,
        "milliseconds": cycles / program.config.clock_mhz / 1e3,
        "macs": report.macs,
        "peak_macs_per_cycle": peak,
        "utilization": report.macs / (cycles * peak) if cycles else 0.0,
        "hbm_read_bytes": measured["read_beats"] * BEAT_BYTES,
        "hbm_write_bytes": measured["write_beats"] * BEAT_BYTES,
        "wall_seconds": seconds,
        "runs": runs,
        "counters": dict(measured),
        "instructions": [
            {"index": p.number, "op": p.op, "node": nodes.get(p.number, ""), "cycles": p.cycles, "macs": p.macs}
            for p in report.packets
        ],
    }


def summary(stats: dict[str, Any]) -> str:
    """The figures of `run_stats` that a person asks for first, in one line."""
    counted = "counted by the machine" if stats["cycles_from"] == "machine" else "by the performance model"
    megabytes = (stats["hbm_read_bytes"] + stats["hbm_write_bytes"]) / 1e6
    host = stats.get("host_seconds")  # of a program with host partitions
    more = "" if host is None else f" + {1000 * host:.3g} ms on the host"
    return (
        f"{stats['cycles']:,} cycles {counted} ({stats['milliseconds']:.3g} ms on '{stats['config']}'){more}, "
        f"{stats['utilization']:.1%} of {stats['peak_macs_per_cycle']} MAC/cycle, {megabytes:.3g} MB of traffic, "
        f"{stats['wall_seconds']:.3g} s to run {stats['runs']} x"
    )


def chrome_trace(program: Program, report: TimingReport) -> dict[str, Any]:
    """Packets as events of a Chrome trace (chrome://tracing, Perfetto): one row per queue, microseconds."""
    nodes = _nodes(program)
    mhz = program.config.clock_mhz
    queues = list(dict.fromkeys(p.queue for p in report.packets))
    names = [{"ph": "M", "name": "thread_name", "pid": 0, "tid": i, "args": {"name": q}} for i, q in enumerate(queues)]
    events = [
        {
            "ph": "X",
            "name": f"{p.op} {nodes.get(p.number, '')}".strip(),
            "pid": 0,
            "tid": queues.index(p.queue),
            "ts": p.start / mhz,
            "dur": (p.end - p.start) / mhz,
            "args": {"packet": p.number, "cycles": p.cycles, "macs": p.macs, "bound": p.bound},
        }
        for p in report.packets
    ]
    return {"displayTimeUnit": "ns", "traceEvents": names + events}


def _nodes(program: Program) -> dict[int, str]:
    return {s.packet: s.node for s in program.sources}
