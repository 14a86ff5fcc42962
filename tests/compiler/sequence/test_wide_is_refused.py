"""int16 where an instruction takes int8 only: refused, never computed as int8."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError


@pytest.mark.parametrize(("op", "shape"), [("Conv", (1, 4, 6, 6)), ("MaxPool", (1, 4, 6, 6))])
def test_a_quantized_model_with_int16(op, shape):
    arrays = {
        "s": np.float32(0.01),
        "z": np.int16(0),
        "w": np.ones((4, 4, 1, 1)[: len(shape)], np.int8),
        "ws": np.float32(0.1),
    }
    inputs = ["xd"] if op == "MaxPool" else ["xd", "wd"]
    attributes = {"kernel_shape": [2, 2]} if op == "MaxPool" else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"]),
        helper.make_node(op, inputs, ["c"], name="layer", **attributes),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["y"]),
    ]
    kind, out = TensorProto.FLOAT, (1, 4, 5, 5) if op == "MaxPool" else shape
    values = [helper.make_tensor_value_info("x", kind, shape)], [helper.make_tensor_value_info("y", kind, out)]
    constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()]
    graph = helper.make_graph(nodes, "wide", *values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(UnsupportedError, match="int16"):
        compile_file(model, load("tiny"), CompileOptions())
