"""Parts on the host together with what a program's own host computes: inputs of any dtype, direct outputs, tails."""

import numpy as np
import onnx
import pytest
from host_nodes import N, Numbers, constant, model, value
from onnx import TensorProto as T
from test_host_models import check, runs
from test_host_reports import gemm, quantized

from vla_isa import package
from vla_isa.hardware import load
from vla_isa.package import HostPartition
from vla_toolchain.vlac_cli import main
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError
from vlarun import open_session


def compiled(made, folder, *extra):
    """The exit code of `vlac compile --allow-host --verify` on a model and its inputs."""
    onnx.save(made[0], folder / "m.onnx")
    np.savez(folder / "in.npz", **made[1])
    arguments = ["compile", folder / "m.onnx", "-o", folder / "p.bin", "--calib", folder / "in.npz", "--allow-host"]
    return main([str(a) for a in (*arguments, "--verify", *extra)])


def hosted(folder):
    parts = package.load(folder / "p.bin").partitions
    return [n.op for p in parts if isinstance(p, HostPartition) for n in p.nodes]


def camera_policy(r):
    """An image normalized inside, LpNormalization in the middle, Softmax at the end, outputs that are known."""
    nodes = [
        N("Cast", ["image"], ["real"], to=T.FLOAT),
        N("Sub", ["real", "mean"], ["centred"]),
        N("Mul", ["centred", "factor"], ["normal"]),
        N("Conv", ["normal", "w"], ["c"], pads=[1, 1, 1, 1]),
        N("Relu", ["c"], ["relu"]),
        N("GlobalAveragePool", ["relu"], ["pool"]),
        N("Flatten", ["pool"], ["flat"]),
        N("LpNormalization", ["flat"], ["even"]),
        N("Gemm", ["even", "head"], ["logits"]),
        N("Softmax", ["logits"], ["action"]),
        N("Identity", ["anchors"], ["grid"]),
        N("Identity", ["ids"], ["again"]),
        N("Reshape", ["real", "row"], ["pixels"]),
    ]
    named = {
        "mean": np.array([120, 110, 100], np.float32).reshape(3, 1, 1),
        "factor": np.array([0.02, 0.2, 0.002], np.float32).reshape(3, 1, 1),
        "w": r.f(16, 3, 3, 3) * np.float32(0.2),
        "gain": np.ones(16, np.float32),
        "head": r.w(16, 6),
        "anchors": r.f(4, 2),
        "row": np.array([1, -1]),
    }
    inputs = [value("image", [1, 3, 8, 8], T.UINT8), value("ids", [1, 2], T.INT64)]
    outputs = [
        value("grid", [4, 2]),
        value("action", [1, 6]),
        value("again", [1, 2], T.INT64),
        value("pixels", [1, 192]),
    ]
    made = model(nodes, inputs, outputs, [constant(k, v) for k, v in named.items()])
    pixels = r.rng.integers(0, 256, (16, 3, 8, 8), np.uint8)
    return made, {"image": pixels, "ids": r.rng.integers(0, 1 << 40, (16, 2))}


def test_a_normalized_image_and_a_host_part(tmp_path):
    """The image's channels, whose units differ, lose nothing; outputs that need no computing are exact."""
    made, feeds = camera_policy(Numbers())
    assert compiled((made, feeds), tmp_path) == 0
    assert {"Cast", "Sub", "Mul", "Softmax"}.isdisjoint(hosted(tmp_path)) and "LpNormalization" in hosted(tmp_path)
    check(made, feeds, tmp_path / "p.bin")
    samples, wanted = runs(made, feeds)
    for sample, want in zip(samples, wanted, strict=True):
        found = open_session(tmp_path / "p.bin").run(sample)
        assert list(found) == list(want)
        assert all(np.array_equal(found[name], want[name]) for name in ("grid", "again", "pixels"))


def detections(r):
    """NonZero at the end beside outputs that need no computing."""
    nodes = [
        N("Gemm", ["x", "w"], ["h"]),
        N("Relu", ["h"], ["p"]),
        N("NonZero", ["p"], ["where"]),
        N("Identity", ["k"], ["version"]),
        N("Identity", ["x"], ["same"]),
    ]
    outputs = [
        value("version", [3], T.INT64),
        value("where", [2, "n"], T.INT64),
        value("p", [1, 8]),
        value("same", [1, 8]),
    ]
    constants = [constant("w", r.w(8, 8)), constant("k", np.array([1, 2, 3]))]
    return model(nodes, [value("x", [1, 8])], outputs, constants), {"x": r.f(12, 8)}


def test_direct_outputs_beside_a_tail(tmp_path, capsys):
    made, feeds = detections(Numbers())
    assert compiled(made=(made, feeds), folder=tmp_path) == 0
    assert "not judged: where: behind values without a fixed shape" in capsys.readouterr().out
    samples, wanted = runs(made, feeds)
    session = open_session(tmp_path / "p.bin")
    for sample, want in zip(samples, wanted, strict=True):
        found = session.run(sample)
        assert list(found) == ["version", "where", "p", "same"]
        assert np.array_equal(found["version"], want["version"]) and np.array_equal(found["same"], sample["x"])
        assert np.array_equal(found["where"], np.stack(np.nonzero(found["p"])))
        assert np.abs(found["p"] - want["p"]).max() < 0.05 * np.abs(want["p"]).max()


def test_operators_of_other_domains_with_large_constants(tmp_path):
    """Constants beside the protobuf are there when ONNX Runtime is asked for shapes or runs for them (Scaler)."""
    r = Numbers()
    nodes = [
        N("Gemm", ["x", "w"], ["h"]),
        N("FusedMatMul", ["h", "wide"], ["f"], domain="com.microsoft", alpha=0.5),
        N("Scaler", ["f"], ["s"], domain="ai.onnx.ml", offset=[0.1], scale=[2.0]),
        N("Gemm", ["s", "v"], ["y"]),
    ]
    named = {"w": r.w(40, 64), "wide": r.w(64, 64), "v": r.w(64, 40)}
    assert all(a.size > 1024 for a in named.values())
    constants = [constant(k, v) for k, v in named.items()]
    rows, domains = 4, [("com.microsoft", 1), ("ai.onnx.ml", 3)]
    made = model(nodes, [value("x", [rows, 40])], [value("y", [rows, 40])], constants, domains=domains)
    feeds = {"x": r.f(8, rows, 40)}
    assert compiled((made, feeds), tmp_path) == 0
    check(made, feeds, tmp_path / "p.bin")


def test_a_host_does_not_round_as_the_model_does(tmp_path):
    nodes = [
        *gemm("x", "a"),
        N("DequantizeLinear", ["aq", "sy", "z"], ["ad"]),
        N("NonZero", ["ad"], ["where"]),
    ]
    outputs = [value("where", [2, "n"], T.INT64), value("ad", [1, 8])]
    scales = {"sx": np.float32(2**-5), "sy": np.float32(2**-4), "sw": np.float32(2**-7)}
    onnx.save(quantized(nodes, [value("x", [1, 8])], outputs, Numbers(), **scales), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"a host rounds to nearest even.*\n  NonZero 'where'"):
        compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(allow_host=True, rounding="floor"))
    assert compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(allow_host=True)).package is not None
