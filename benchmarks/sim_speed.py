"""Speed of `sim` on whole programs, beside ONNX Runtime on the same model, in one run.

    python benchmarks/sim_speed.py [--graphs A,B] [--inputs 1,32] [--repeat N] [--json FILE]

`sim` is timed end to end, as `Session.run` does it: float arrays in, quantized, every packet executed, float arrays
out; one input in a call, and N of them. ONNX Runtime runs the float model, and the int8 model that its own
`quantize_static` makes (uint8 activations, int8 weights per channel), one input in a call, as a fixed batch demands.
Everything runs on one thread. Figures are processor time of the process, the least of N runs taken in turn, so that
other work on the computer counts little.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import graphs
import networks
import numpy as np
import onnx
from prepare import compile_model, machine, names_of, random_inputs

import vlarun
from vla_isa.program import Program

# Most milliseconds of `sim` as a multiple of ONNX Runtime's fp32: of one input, and an input of many.
TARGETS = {
    "conv_128": (1.5, 1.0),
    "carla_frame": (2.0, 1.0),
    "resnet18": (2.0, 1.0),
    "mobilenet_v2": (2.0, 1.0),
    "vit_s16": (2.0, 2.0),
}
POLICY_TARGET = 0.6  # milliseconds an input of demo_policy, of many
MODELS = {**graphs.GRAPHS, **networks.NETWORKS}
DEFAULT = (*TARGETS, "demo_policy")


def ort_runner(model: bytes, inputs: dict[str, Any]) -> Callable[[], object]:
    """One run of a model in ONNX Runtime, on one thread."""
    import onnxruntime  # not before the toolchain's packages, which switch its telemetry off

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def quantized(model: onnx.ModelProto, program: Program) -> bytes:
    """The model as ONNX Runtime's users quantize it: u8 x s8, weights per channel, two random samples."""
    from onnxruntime import quantization

    class Samples(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Any]] = iter([random_inputs(program, seed) for seed in (0, 1)])

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "m.onnx", Path(folder) / "q.onnx"
        onnx.save(model, source)
        quantization.quantize_static(
            source,
            made,
            Samples(),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return made.read_bytes()


def least(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Processor seconds of the cheapest of `repeat` runs of each, after one that does not count, taken in turn."""
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(repeat + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                best[name] = min(best[name], time.process_time() - start)
    return best


def measure(graph: str, counts: list[int], repeat: int) -> dict[str, Any]:
    """Milliseconds an input of one graph."""
    model = MODELS[graph]()
    program = compile_model(model, "u50")
    inputs, session = random_inputs(program), vlarun.Session(program)
    runs: dict[str, Callable[[], object]] = {}
    for count in counts:
        many = {name: np.stack([random_inputs(program, seed)[name] for seed in range(count)]) for name in inputs}
        runs[f"sim_{count}"] = lambda many=many: session.run(many)
    runs["ort_fp32"] = ort_runner(model.SerializeToString(), inputs)
    runs["ort_u8s8"] = ort_runner(quantized(model, program), inputs)
    seconds = least(runs, repeat)
    found = {name: 1e3 * s / (int(name[4:]) if name.startswith("sim_") else 1) for name, s in seconds.items()}
    return {"graph": graph, "macs": sum(s.macs for s in program.sources), "milliseconds": found}


def missed(row: dict[str, Any], counts: list[int]) -> list[str]:
    """Targets that a row misses."""
    graph, found, many = row["graph"], row["milliseconds"], max(counts)
    faults = []
    for count, share in zip((1, many), TARGETS.get(graph, ()), strict=False):
        if count in counts and found[f"sim_{count}"] > share * found["ort_fp32"]:
            faults.append(f"{graph}: {count} at once take more than {share} x fp32")
    if graph == "demo_policy" and many > 1 and found[f"sim_{many}"] > POLICY_TARGET:
        faults.append(f"{graph}: {many} at once take more than {POLICY_TARGET} ms each")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=names_of(MODELS), default=",".join(DEFAULT), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--inputs", default="1,32", help="inputs that a call of sim gets")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    counts = [int(n) for n in args.inputs.split(",")]
    figures: dict[str, Any] = {"machine": machine(), "rows": []}
    columns = (*(f"sim_{n}" for n in counts), "ort_fp32", "ort_u8s8")
    print("milliseconds of processor time an input, one thread")
    print(f"{'graph':16s}{'MMAC':>8s}" + "".join(f"{c:>12s}" for c in columns) + f"{'sim_1/fp32':>12s}", flush=True)
    faults = []
    for graph in args.graphs:
        row = measure(graph, counts, args.repeat)
        figures["rows"].append(row)
        found = row["milliseconds"]
        times = "".join(f"{found[c]:12.2f}" for c in columns)
        print(f"{graph:16s}{row['macs'] / 1e6:8.1f}{times}{found[columns[0]] / found['ort_fp32']:12.2f}", flush=True)
        faults += missed(row, counts)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print("\n".join(faults))
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
