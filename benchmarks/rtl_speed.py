"""Speed of the Verilated machine: simulated cycles per second of processor time, build not counted.

The machine runs on one thread, so on an idle computer processor time is wall time.

    python benchmarks/rtl_speed.py [--graph NAME] [--configs A,B] [--repeat N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from prepare import compile_graph, machine, random_inputs

import vlarun

TARGET = 80_000  # cycles per second on u50


def measure(graph: str, config: str, repeat: int) -> dict[str, Any]:
    """Cycles, and wall and processor time of the shortest of `repeat` runs after one that builds the machine."""
    program = compile_graph(graph, config)
    inputs, session = random_inputs(program), vlarun.Session(program, backend="rtl")
    session.run(inputs)
    seconds = cpu = float("inf")
    for _ in range(repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        session.run(inputs)
        seconds = min(seconds, time.perf_counter() - start)
        cpu = min(cpu, time.process_time() - start_cpu)
    assert session.result is not None
    return {
        "config": config,
        "graph": graph,
        "cycles": session.result.cycles,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "cycles_per_second": session.result.cycles / cpu,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", default="conv_128", help="a graph of graphs.py (default: conv_128)")
    parser.add_argument("--configs", default="u50,tiny")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = []
    print(f"{'config':12s}{'graph':16s}{'cycles':>10s}{'seconds':>9s}{'cpu s':>8s}{'cycles/s':>11s}")
    for config in args.configs.split(","):
        row = measure(args.graph, config, args.repeat)
        rows.append(row)
        print(
            f"{config:12s}{args.graph:16s}{row['cycles']:10d}{row['seconds']:9.2f}{row['cpu_seconds']:8.2f}"
            f"{row['cycles_per_second']:11,.0f}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(r["config"] == "u50" and r["cycles_per_second"] < TARGET for r in rows))


if __name__ == "__main__":
    raise SystemExit(main())
