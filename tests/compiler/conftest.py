"""Makes the graph builders of benchmarks/ importable; small models and a program for the command line."""

import sys
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "ops"))


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with net.onnx, of two layers, and demo.onnx."""
    import graphs

    folder = tmp_path_factory.mktemp("models")
    g = graphs.GraphBuilder("net")
    x = g.node("Flatten", [g.conv(g.input("image", (1, 3, 8, 8)), 8, 3, 2)], 128)
    onnx.save(g.model(g.gemm(x, 128, 4, relu=False)), folder / "net.onnx")
    onnx.save(graphs.demo_policy(), folder / "demo.onnx")
    return folder


@pytest.fixture(scope="session")
def program(models):
    """net.onnx compiled for `u50`."""
    from vla_toolchain.vlac_cli import main

    assert main(["compile", str(models / "net.onnx"), "-o", str(models / "net.bin"), "--calib", "random:2"]) == 0
    return models / "net.bin"
