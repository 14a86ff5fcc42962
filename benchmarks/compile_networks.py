"""Well-known networks at 224x224 (`networks.py`): time to compile and to check, distance from float, cycles.

    python benchmarks/compile_networks.py [--networks A,B] [--config NAME] [--rtl] [--json FILE]

SNR is that of the output, in dB, against the float model in ONNX Runtime, on an input that calibration did not see:
of the program on `sim`, and beside it of the same quantized model in ONNX Runtime. Cycles are the performance
model's; with `--rtl` the Verilog machine's, and its outputs must equal those of `sim`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
from numpy.typing import NDArray
from prepare import machine, random_inputs

import vlarun
from vla_isa import hardware, hazards, timing
from vlac import CompileOptions, compile_file

SECONDS, DECIBELS = 30, 15  # the targets


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


def measure(name: str, config: str, *, rtl: bool) -> dict[str, Any]:
    """All figures of one network."""
    model = networks.NETWORKS[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        onnx.save(model, path)
        start = time.perf_counter()
        state = compile_file(path, hardware.load(config), CompileOptions(calibration="random:2"))
        seconds = time.perf_counter() - start
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
        "compile_seconds": seconds,
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
    parser.add_argument("--networks", default=",".join(networks.NETWORKS), help=f"of {', '.join(networks.NETWORKS)}")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--rtl", action="store_true", help="run on the Verilog machine as well (minutes each)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = []
    heads = f"{'network':16s}{'MMAC':>8s}{'compile s':>11s}{'check s':>9s}"
    print(f"{heads}{'SNR dB':>8s}{'ORT dB':>8s}{'cycles':>12s}{'used':>7s}")
    for name in args.networks.split(","):
        row = measure(name, args.config, rtl=args.rtl)
        rows.append(row)
        print(
            f"{name:16s}{row['macs'] / 1e6:8.1f}{row['compile_seconds']:11.1f}{row['check_seconds']:9.1f}"
            f"{row['snr']:8.1f}{row['snr_onnxruntime']:8.1f}{row['cycles']:12,d}{row['utilization']:7.1%}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(r["compile_seconds"] > SECONDS or r["snr"] < DECIBELS for r in rows))


if __name__ == "__main__":
    raise SystemExit(main())
