"""A mask is of one convolution alone, whatever equals it, and wherever its output goes; what knows no tasks runs none.

The reference is the float model in ONNX Runtime, with masks that the test puts in.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder
from task_nets import Masks, masked_model, run_onnx

import vlarun
from vla_isa import image
from vla_toolchain import vlarun_cli
from vlac import CompileOptions, compile_model
from vlarun.errors import BackendError

BLOCK = 8


def steps() -> onnx.ModelProto:
    """Equal steps, as an exporter unrolls a loop."""
    g = GraphBuilder("steps", seed=1)
    x, weight = g.input("x", (1, 16, 8, 8)), g.constant(g.weight(16, 16, 1, 1))
    for _ in range(4):
        x = g.node("Add", [x, g.node("Tanh", [g.node("Conv", [x, weight], 16)], 16)], 16)
    return g.model(x)


def twins() -> onnx.ModelProto:
    """Two equal convolutions of one input, each read by another layer."""
    g = GraphBuilder("twins", seed=2)
    x, weight = g.input("x", (1, 8, 8, 8)), g.constant(g.weight(16, 8, 1, 1))
    first, second = (g.node("Relu", [g.node("Conv", [x, weight], 16)], 16) for _ in range(2))
    return g.model(g.conv(first, 16, 1), g.conv(second, 16, 1))


def output() -> onnx.ModelProto:
    """A convolution that nothing reads."""
    g = GraphBuilder("output", seed=3)
    return g.model(g.conv(g.input("x", (1, 8, 8, 8)), 16, relu=False))


@pytest.mark.parametrize("model", [steps(), twins(), output()], ids=lambda m: m.graph.name)
def test_a_mask_is_of_one_convolution(model: onnx.ModelProto) -> None:
    conv = next(n.name for n in model.graph.node if n.op_type == "Conv")
    tasks: dict[str, Masks] = {"one": {conv: [0]}, "other": {conv: [1]}}
    options = CompileOptions(calibration="random:4", task_masks=tasks)
    session = vlarun.Session(compile_model(model, "tiny", options))
    (value,) = model.graph.input
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    inputs = {value.name: np.random.default_rng(5).standard_normal(dims).astype(np.float32)}
    dense = run_onnx(model, inputs)
    for entry, masks in {"main": {}, **tasks}.items():
        found = session.run(inputs, entry=entry)
        for name, wanted in run_onnx(masked_model(model, masks, BLOCK), inputs).items():
            assert ((found[name] - wanted) ** 2).mean() < 2e-3 * (dense[name] ** 2).mean(), (entry, name)


def test_what_knows_no_tasks_runs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = output()
    onnx.save(model, tmp_path / "m.onnx")
    options = CompileOptions(calibration="random:4", task_masks={"a": {"conv0": [0]}, "b": {"conv0": [1]}})
    program = compile_model(model, "tiny", options)
    image.save(program, tmp_path / "p.bin")
    inputs = {"x": np.zeros((1, 8, 8, 8), np.float32)}
    np.savez(tmp_path / "x.npz", x=inputs["x"])
    ref = vlarun.Session(program, "ref", onnx=tmp_path / "m.onnx")
    for entry in (None, "main", "a+main"):
        ref.run(inputs, entry=entry)
    for entry in ("a", "a+b"):
        for raw in (False, True):
            with pytest.raises(BackendError, match=r"entry point 'a.*' is a task"):
                ref.run(inputs, raw, entry)
        args = [str(tmp_path / "p.bin"), "--input", str(tmp_path / "x.npz"), "--onnx", str(tmp_path / "m.onnx")]
        assert vlarun_cli.main(["compare", *args, "--backends", "sim,ref", "--entry", entry]) == 1
        assert f"entry point '{entry}' is a task" in capsys.readouterr().err
