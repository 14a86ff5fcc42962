"""Well-known networks at 224x224 (`networks.py`): what compiling and checking costs, distance from float, cycles.

    python benchmarks/compile_networks.py [--networks A,B] [--config NAME] [--rtl] [--json FILE]

CPU seconds and peak memory are those of the whole command `vlac compile`, imports and the SNR that it prints
included (memory beside the size of the model file). SNR is that of the output, in dB, against the float model in ONNX
Runtime, on an input that calibration did not see: of the program on `sim`, and beside it of the same quantized model in
ONNX Runtime. Cycles are the performance model's; with `--rtl` the Verilog machine's, and its outputs must equal those
of `sim`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
from numpy.typing import NDArray
from prepare import machine, names_of, random_inputs

import vlarun
from vla_isa import hardware, hazards, timing
from vlac import CompileOptions, compile_file

SECONDS = {"resnet50": 4.0, "vgg11": 8.0}  # the targets: CPU seconds,
OTHER_SECONDS, DECIBELS = 8.0, 15
TIMES = {"vgg11": 3.0}  # and peak memory in times the model; of small models the interpreter and its libraries are most

# In a small process between: on Linux the peak of a process starts at that of the one it was forked from.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


def signal_to_noise(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """In dB."""
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - found) ** 2)))


def ort(model: bytes, inputs: dict[str, Any]) -> NDArray[np.float32]:
    """The first output of a model in ONNX Runtime, integer kernels allowed."""
    import onnxruntime  # not before the toolchain's packages, which switch its telemetry off

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def cost(path: Path, config: str) -> tuple[float, int]:
    """CPU seconds and peak memory in bytes of `vlac compile`, as a process of its own."""
    out = path.with_suffix(".bin")
    command = [sys.executable, "-m", "vlac", "compile", path, "-o", out, "--calib", "random:2", "--config", config]
    done = subprocess.run([sys.executable, "-c", _MEASURE, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, peak = done.stdout.split()
    return float(seconds), int(peak) * 1024


def measure(name: str, config: str, *, rtl: bool) -> dict[str, Any]:
    """All figures of one network."""
    model = networks.NETWORKS[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        onnx.save(model, path)
        seconds, peak = cost(path, config)
        size = path.stat().st_size
        state = compile_file(path, hardware.load(config), CompileOptions(calibration="random:2"))
    assert state.program is not None and state.qdq is not None
    start = time.perf_counter()
    hazards.check(state.program)
    check_seconds = time.perf_counter() - start
    program = state.program
    inputs = random_inputs(program)
    (found,) = vlarun.Session(program).run(inputs).values()
    expected = ort(model.SerializeToString(), inputs)
    row = {
        "network": name,
        "macs": sum(s.macs for s in program.sources),
        "compile_cpu_seconds": seconds,
        "peak_bytes": peak,
        "model_bytes": size,
        "check_seconds": check_seconds,
        "snr": signal_to_noise(expected, found),
        "snr_onnxruntime": signal_to_noise(expected, ort(state.qdq.SerializeToString(), inputs)),
        "cycles": timing.estimate(program).total_cycles,
    }
    if rtl:
        session = vlarun.Session(program, backend="rtl")
        (on_rtl,) = session.run(inputs).values()
        assert session.result is not None and np.array_equal(found, on_rtl), f"{name}: rtl differs from sim"
        row["cycles"] = session.result.cycles
    row["utilization"] = row["macs"] / program.config.macs_per_cycle / row["cycles"]
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks",
        type=names_of(networks.NETWORKS),
        default=",".join(networks.NETWORKS),
        help=f"of {', '.join(networks.NETWORKS)}",
    )
    parser.add_argument("--config", default="u50")
    parser.add_argument("--rtl", action="store_true", help="run on the Verilog machine as well (minutes each)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = []
    heads = f"{'network':14s}{'MMAC':>7s}{'CPU s':>7s}{'peak MB':>9s}{'x model':>8s}{'check s':>8s}"
    print(f"{heads}{'SNR dB':>7s}{'ORT dB':>7s}{'cycles':>10s}{'used':>6s}")
    for name in args.networks:
        row = measure(name, args.config, rtl=args.rtl)
        rows.append(row)
        memory, times = row["peak_bytes"] / 1e6, row["peak_bytes"] / row["model_bytes"]
        print(
            f"{name:14s}{row['macs'] / 1e6:7.0f}{row['compile_cpu_seconds']:7.1f}{memory:9.0f}{times:8.1f}"
            f"{row['check_seconds']:8.1f}{row['snr']:7.1f}{row['snr_onnxruntime']:7.1f}{row['cycles']:10,d}"
            f"{row['utilization']:6.0%}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(map(misses, rows)))


def misses(row: dict[str, Any]) -> bool:
    """Whether a network misses a target."""
    name, times = row["network"], row["peak_bytes"] / row["model_bytes"]
    slow = row["compile_cpu_seconds"] > SECONDS.get(name, OTHER_SECONDS)
    return slow or times > TIMES.get(name, float("inf")) or row["snr"] < DECIBELS


if __name__ == "__main__":
    raise SystemExit(main())
