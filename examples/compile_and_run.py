"""Compile an ONNX model and run the program on both backends, all from Python.

    python examples/compile_and_run.py [model.onnx] [--config tiny] [--no-rtl]

Without a model a small convolutional one with random weights is made. The calibration data is random too:
a real policy is calibrated with frames that it sees (see docs/the_flow.md).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import vlac
import vlarun
from vla_isa import hardware, image
from vla_isa.errors import VlaError


def small_model() -> onnx.ModelProto:
    """Image [1, 3, 16, 16] -> Conv, Relu, GlobalAveragePool, Gemm -> scores [1, 4]."""
    rng = np.random.default_rng(0)
    shapes = {"w": (16, 3, 3, 3), "b": (16,), "v": (4, 16), "c": (4,)}
    constants = [numpy_helper.from_array(rng.standard_normal(s, np.float32) / 3, n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["conv"], name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "v", "c"], ["scores"], name="head", transB=1),
    ]
    image_info = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 16, 16))
    scores_info = helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 4))
    graph = helper.make_graph(nodes, "small", [image_info], [scores_info], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> int:
    """Print each backend's outputs and cycles; 0 where all outputs are equal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--no-rtl", action="store_true", help="only the Python runtime")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or Path(folder) / "small.onnx"
        if not arguments.model:
            onnx.save(small_model(), model)
        hw = hardware.load(arguments.config)
        program = vlac.compile_model(model, hw, vlac.CompileOptions(calibration="random:8"))
        image.save(program, Path(folder) / "prog.bin")  # what `vlac compile` writes

        rng = np.random.default_rng(1)
        inputs = {v.name: rng.standard_normal(v.shape, np.float32) for v in program.model_inputs}
        results = []
        for backend in ("sim",) if arguments.no_rtl else ("sim", "rtl"):
            session = vlarun.Session(Path(folder) / "prog.bin", backend=backend)
            results.append(session.run(inputs))
            print(f"{backend}: {session.stats['cycles']:,} cycles (from the {session.stats['cycles_from']})")
    for name, first in results[0].items():
        print(f"{name}: {np.round(first.reshape(-1)[:4], 4)}")
    equal = all(np.array_equal(first, other[name]) for other in results for name, first in results[0].items())
    print("all bytes are equal" if equal else "the backends differ")
    return 0 if equal else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VlaError as error:  # says what is wrong with a file, and what to do
        sys.exit(f"error: {error}")
