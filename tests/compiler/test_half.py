"""Models of half floats: the program is that of the same numbers in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import vlarun
from vla_toolchain.verify.reference import exact_reference
from vla_toolchain.vlac_cli import main

RNG = np.random.default_rng(0)
W, B = RNG.standard_normal((24, 16)).astype(np.float32), RNG.standard_normal(16).astype(np.float32)
HALVES = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
X = RNG.standard_normal((64, 1, 24)).astype(np.float16).astype(np.float32)  # numbers of both


def rounded(array: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """What the half float holds, worked out here: bfloat16 is the upper half of a float32, to nearest even."""
    if kind == "float16":
        return array.astype(np.float16).astype(np.float32)
    bits = array.view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32)


def tensor(array: NDArray[np.float32], name: str, kind: int) -> onnx.TensorProto:
    return helper.make_tensor(name, kind, array.shape, array.ravel().tolist())


def model(kind: int, w: NDArray[np.float32], b: NDArray[np.float32], *, inside: bool = False) -> onnx.ModelProto:
    """y = Relu(x W + b) in a type; `inside`: float32 outside, as mixed precision exports it."""
    outer = TensorProto.FLOAT if inside else kind
    x, y = (helper.make_tensor_value_info(n, outer, s) for n, s in (("x", (1, 24)), ("y", (1, 16))))
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=kind),
        helper.make_node("Constant", [], ["b"], value=tensor(b, "b", kind)),
        helper.make_node("MatMul", ["c", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=outer),
    ]
    graph = helper.make_graph(nodes, "half", [x], [y], [tensor(w, "w", kind)])
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(found)
    return found


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", HALVES)
def test_a_half_model_is_that_of_the_same_numbers(kind: str, inside: bool, tmp_path: Path) -> None:
    w, b = rounded(W, kind), rounded(B, kind)
    assert not np.array_equal(w, W)
    onnx.save(model(HALVES[kind], W, B, inside=inside), tmp_path / "half.onnx")
    onnx.save(model(TensorProto.FLOAT, w, b, inside=inside), tmp_path / "whole.onnx")
    np.savez(tmp_path / "calib.npz", x=X)
    for name in ("half", "whole"):
        command = ["compile", str(tmp_path / f"{name}.onnx"), "-o", str(tmp_path / f"{name}.bin"), "--config", "tiny"]
        assert main([*command, "--calib", str(tmp_path / "calib.npz"), "--verify"]) == 0
    half, whole = (vlarun.Session(tmp_path / f"{name}.bin") for name in ("half", "whole"))
    found, wanted = half.run({"x": X[:1, 0]})["y"], whole.run({"x": X[:1, 0]})["y"]
    assert found.dtype == (np.float16 if kind == "float16" and not inside else np.float32)
    wanted = wanted.astype(found.dtype)
    np.testing.assert_array_equal(found, wanted)
    exact = np.maximum(X[:1, 0] @ w + b, 0)
    assert found.shape == exact.shape and 10 * np.log10((exact**2).mean() / ((found - exact) ** 2).mean()) > 30


@pytest.mark.skipif(not exact_reference(), reason="ONNX Runtime's int8 convolution is exact only on CPUs with VNNI")
def test_verify_judges_bfloat16(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx.save(model(TensorProto.BFLOAT16, W, B), tmp_path / "m.onnx")
    np.savez(tmp_path / "calib.npz", x=X)
    command = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.bin"), "--config", "tiny"]
    assert main([*command, "--calib", str(tmp_path / "calib.npz"), "--verify"]) == 0
    said = "".join(capfd.readouterr())
    assert "not judged" not in said and "verified" in said


def test_a_damaged_half_constant_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = model(TensorProto.FLOAT16, W, B)
    damaged.graph.initializer[0].ClearField("int32_data")
    damaged.graph.initializer[0].raw_data = b"\0" * 7
    onnx.save(damaged, tmp_path / "m.onnx")
    assert main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.bin"), "--calib", "random"]) == 1
    assert "valid ONNX model" in capfd.readouterr().err
    assert numpy_helper.to_array(model(TensorProto.FLOAT16, W, B).graph.initializer[0]).dtype == np.float16
