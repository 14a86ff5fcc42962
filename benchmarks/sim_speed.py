"""Speed of `sim` on whole programs, beside ONNX Runtime on the same quantized model, in one run.

    python benchmarks/sim_speed.py [--graphs A,B] [--repeat N] [--json FILE]

`sim` is timed end to end, as `Session.run` does it: float arrays in, quantized, every packet executed, float
arrays out; it uses all cores. ONNX Runtime runs the QDQ model with its integer kernels and the float model,
each on one and on two threads. Every figure is the shortest of N runs, taken in turn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphs
import onnx
from prepare import compile_with_qdq, machine, random_inputs

import vlarun

TARGET = 20e9  # multiply-accumulates per second, conv_128
DEFAULT = ("conv_128", "three_convs", "gemm_4096", "demo_policy", "carla_frame", "resnet18")


def ort_runner(model: onnx.ModelProto, inputs: dict[str, Any], threads: int) -> Callable[[], object]:
    """One run of a model in ONNX Runtime, integer kernels allowed."""
    import onnxruntime  # not before the toolchain's packages, which switch its telemetry off

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores alone
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def shortest(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Seconds of the shortest of `repeat` runs of each, after one that does not count; the runs take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(repeat + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(graph: str, repeat: int) -> dict[str, Any]:
    """All figures of one graph."""
    program, qdq = compile_with_qdq(graph, "u50")
    inputs, session = random_inputs(program), vlarun.Session(program)
    runs: dict[str, Callable[[], object]] = {"sim": lambda: session.run(inputs)}
    for threads in (1, 2):
        runs[f"ort_int8_{threads}"] = ort_runner(qdq, inputs, threads)
        runs[f"ort_fp32_{threads}"] = ort_runner(graphs.GRAPHS[graph](), inputs, threads)
    seconds = shortest(runs, repeat)
    macs = sum(s.macs for s in program.sources)
    return {"graph": graph, "macs": macs, "gmacs_per_second": macs / seconds["sim"] / 1e9, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", default=",".join(DEFAULT), help=f"of {', '.join(graphs.GRAPHS)}")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    figures = {"machine": machine(), "rows": []}
    columns = ("sim", "ort_int8_1", "ort_int8_2", "ort_fp32_1", "ort_fp32_2")
    print(f"{'graph':16s}{'MMAC':>8s}{'GMAC/s':>8s}" + "".join(f"{c + ' ms':>14s}" for c in columns))
    for graph in args.graphs.split(","):
        row = measure(graph, args.repeat)
        figures["rows"].append(row)
        times = "".join(f"{row['seconds'][c] * 1e3:14.2f}" for c in columns)
        print(f"{graph:16s}{row['macs'] / 1e6:8.1f}{row['gmacs_per_second']:8.1f}{times}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    first = figures["rows"][0]
    return int(first["graph"] == "conv_128" and first["gmacs_per_second"] * 1e9 < TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
