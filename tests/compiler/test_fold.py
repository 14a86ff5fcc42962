"""Constants that a model computes: endless ones are refused, others are those of ONNX Runtime."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from parity import run_parity

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError
from vlac.import_onnx import fold


def looped(trips):
    """A Gemm whose bias a Loop counts up, `trips` times."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "one"], ["b"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("a", TensorProto.FLOAT, [4])],
        [value("on", TensorProto.BOOL, []), value("b", TensorProto.FLOAT, [4])],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "", "zero"], ["bias"], body=body),
        helper.make_node("Gemm", ["x", "w", "bias"], ["y"]),
    ]
    arrays = {
        "trips": np.array(trips, np.int64),
        "zero": np.zeros(4, np.float32),
        "one": np.ones(4, np.float32),
        "w": np.eye(8, 4, dtype=np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "looped",
        [value("x", TensorProto.FLOAT, [1, 8])],
        [value("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_loop_of_constants_is_computed_once():
    state = run_parity(looped(3), "tiny").state  # also beside the model with its Loop
    assert [n.op_type for n in state.model.graph if n.op_type in ("Loop", "Gemm")] == ["Gemm"]


@pytest.mark.parametrize("allow_host", [False, True])
def test_an_endless_loop_of_constants_is_refused(monkeypatch, allow_host):
    monkeypatch.setattr(fold, "_SECONDS", 1.0)
    with pytest.raises(ModelError, match=r"constants \(.*Loop.*\) takes more than 1 s"):
        compile_file(looped(1 << 62), load("tiny"), CompileOptions(calibration="random:2", allow_host=allow_host))
