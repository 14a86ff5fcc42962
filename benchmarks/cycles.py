"""Cycles of the benchmark graphs on the Verilog machine, beside the performance model and the targets.

    python benchmarks/cycles.py [--config NAME] [--graphs A,B] [--json FILE]

Reference memory: read latency 64, 8 bursts in flight per master, no stalls.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import graphs
from prepare import compile_graph, names_of, random_inputs

import vlarun
from vla_isa import timing

# the machine's targets, in cycles
TARGETS = {
    "u50": {"conv_128": 305_000, "three_convs": 10_500, "gemm_4096": 9_600, "carla_frame": 260_000},
    "u50-2port": {"carla_frame": 420_000},
}
DEFAULT = (
    "conv_128",
    "three_convs",
    "gemm_4096",
    "carla_frame",
    "demo_policy",
    "mobilenet_block",
    "inception_block",
    "resnet18",
)


def measure(graph: str, config: str) -> dict[str, Any]:
    """Cycles of one graph, measured and estimated, with its ideal and its target."""
    program = compile_graph(graph, config)
    session = vlarun.Session(program, backend="rtl")
    session.run(random_inputs(program))
    assert session.result is not None
    cycles, macs = session.result.cycles, sum(s.macs for s in program.sources)
    return {
        "graph": graph,
        "config": config,
        "macs": macs,
        "ideal": -(-macs // program.config.macs_per_cycle),
        "cycles": cycles,
        "model": timing.estimate(program).total_cycles,
        "utilization": macs / program.config.macs_per_cycle / cycles,
        "target": TARGETS.get(config, {}).get(graph),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="u50")
    parser.add_argument(
        "--graphs", type=names_of(graphs.GRAPHS), default=",".join(DEFAULT), help=f"of {', '.join(graphs.GRAPHS)}"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = []
    print(f"{'graph':18s}{'MMAC':>8s}{'ideal':>10s}{'cycles':>10s}{'used':>7s}{'model':>10s}{'off':>8s}{'target':>10s}")
    for graph in args.graphs:
        row = measure(graph, args.config)
        rows.append(row)
        off = row["model"] / row["cycles"] - 1
        print(
            f"{graph:18s}{row['macs'] / 1e6:8.1f}{row['ideal']:10,d}{row['cycles']:10,d}{row['utilization']:7.1%}"
            f"{row['model']:10,d}{off:+8.2%}{row['target'] or '-':>10}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(r["target"] and r["cycles"] > r["target"] for r in rows))


if __name__ == "__main__":
    raise SystemExit(main())
