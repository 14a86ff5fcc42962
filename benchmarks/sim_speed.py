"""Speed of `sim` on one convolution and one matrix product, beside ONNX Runtime fp32 and int8, in one run.

    python benchmarks/sim_speed.py [--threads N] [--repeat N] [--json FILE]

`sim` is timed end to end: decoded packet in, requantized int8 tensor written to the scratchpad.
ONNX Runtime int8 is QLinearConv / QLinearMatMul (uint8 activations, int8 weights).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from vla_isa import hardware, numerics
from vla_isa.encoding import Packet
from vlarun.execute import EXECUTORS
from vlarun.memory import Machine

SIZES = {  # name: (height, width, in channels, out channels, kernel)
    "conv 128x128x64->64 3x3": (128, 128, 64, 64, 3),
    "conv 56x56x64->64 1x1": (56, 56, 64, 64, 1),
    "conv 14x14x256->256 3x3": (14, 14, 256, 256, 3),
    "gemm 256x1024x1024": (1, 256, 1024, 1024, 1),
    "gemm 1x4096x512": (1, 1, 4096, 512, 1),
}


def best_seconds(function: Callable[[], object], repeat: int) -> float:
    """The shortest of `repeat` runs, after one that does not count."""
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def sim_runner(h: int, w: int, ci: int, co: int, k: int, gemm: bool) -> Callable[[], object]:
    """Execute one packet on a machine large enough to hold all of it."""
    hw = replace(hardware.load("u50"), act_words=1 << 18, weight_words=1 << 15)
    machine = Machine(hw, np.zeros(0, np.int8), np.zeros((0, hw.weight_word_bytes), np.int8))
    rng = np.random.default_rng(0)
    machine.act[:] = rng.integers(-128, 128, machine.act.shape)
    machine.weight[:] = rng.integers(-128, 128, machine.weight.shape)
    count = co
    machine.param.reshape(-1, 8)[:count] = numerics.pack_records(
        np.zeros(count), np.full(count, 1 << 23), np.full(count, 40)
    )
    ib, ob = ci // hw.block, co // hw.block
    if gemm:
        packet = Packet.make(
            "GEMM", m=w, k_blocks=ib, n_blocks=ob, in_pitch=w, out_base=ib * w, out_pitch=w, lo=-128, hi=127
        )
    else:
        packet = Packet.make(
            "CONV",
            in_h=h,
            in_w=w,
            in_blocks=ib,
            in_pitch=w,
            in_row_stride=w * ib,
            in_ring=h,
            kernel_h=k,
            kernel_w=k,
            pad_top=k // 2,
            pad_left=k // 2,
            out_base=h * w * ib,
            out_h=h,
            out_w=w,
            out_blocks=ob,
            out_pitch=w,
            out_row_stride=w * ob,
            out_ring=h,
            lo=-128,
            hi=127,
        )
    return lambda: EXECUTORS[packet.name](packet, machine)


def ort_runner(h: int, w: int, ci: int, co: int, k: int, gemm: bool, int8: bool, threads: int) -> Callable[[], object]:
    """The same work as a one-node ONNX model."""
    rng = np.random.default_rng(0)
    x_shape, w_shape = ((w, ci), (ci, co)) if gemm else ((1, ci, h, w), (co, ci, k, k))
    weight = rng.integers(-128, 128, w_shape).astype(np.int8 if int8 else np.float32)
    x = rng.integers(0, 256, x_shape).astype(np.uint8 if int8 else np.float32)
    constants = [numpy_helper.from_array(weight, "w")]
    names = ["x", "w"]
    if int8:
        for name, value in (
            ("xs", np.float32(1)),
            ("xz", np.uint8(128)),
            ("ws", np.ones(co, np.float32)),
            ("wz", np.zeros(co, np.int8)),
            ("ys", np.float32(9999)),
            ("yz", np.uint8(128)),
        ):
            constants.append(numpy_helper.from_array(np.asarray(value), name))
        names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    op = ("QLinear" if int8 else "") + ("MatMul" if gemm else "Conv")
    attributes = {} if gemm else {"kernel_shape": [k, k], "pads": [k // 2] * 4}
    kind = TensorProto.UINT8 if int8 else TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", kind, x_shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime's own runs (0: all cores)")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = []
    print(f"{'work':28s} {'sim':>16s} {'ORT fp32':>16s} {'ORT int8':>16s}   (ms, GMAC/s)")
    for name, (h, w, ci, co, k) in SIZES.items():
        gemm, macs = name.startswith("gemm"), h * w * ci * co * k * k
        runs = {
            "sim": sim_runner(h, w, ci, co, k, gemm),
            "ort_fp32": ort_runner(h, w, ci, co, k, gemm, False, args.threads),
            "ort_int8": ort_runner(h, w, ci, co, k, gemm, True, args.threads),
        }
        seconds = {key: best_seconds(run, args.repeat) for key, run in runs.items()}
        rows.append({"work": name, "macs": macs, **{f"{key}_seconds": s for key, s in seconds.items()}})
        print(f"{name:28s} " + " ".join(f"{s * 1e3:7.2f} {macs / s / 1e9:8.1f}" for s in seconds.values()))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
