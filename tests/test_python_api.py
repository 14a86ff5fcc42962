"""The page of the Python API is what the docstrings say, and its example runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import python_api

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "python_api.md"


def test_the_page_is_up_to_date() -> None:
    command = "python tests/python_api.py > docs/reference/python_api.md"
    assert PAGE.read_text(encoding="utf-8") == python_api.page(), command


def test_every_argument_is_explained_where_there_is_a_list() -> None:
    for block in python_api.page().split("\n### ")[1:]:
        assert len(block.split("```")[-1].strip()) > 10, block[:60]


def test_the_example_runs(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32))
    done = subprocess.run(
        [sys.executable, "-c", python_api.EXAMPLE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'y': (1, 8)} ") and done.stdout.endswith(" cycles\n")
    assert (tmp_path / "prog.bin").is_file()
