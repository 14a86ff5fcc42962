"""Models as files hold them, node by node, and their programs beside ONNX Runtime."""

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, helper, numpy_helper
from source_parity import run_source

from vlac.import_onnx import load_model, parse_model
from vlac.rewrite import rewrite_float


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def value(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def build(nodes, inputs, outputs, constants=(), *, opset=17, ir=8):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    return model


def saved(model, folder):
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def check_float(path, inputs, options=None):
    """What import and rewriting make of a file gives what the file gives."""
    rewritten = rewrite_float(parse_model(load_model(path, options), str(path))[0])
    after = run_source(onnx_ir.to_proto(rewritten), inputs)
    before = run_source(onnx.load(path), inputs)
    assert list(after) == list(before)
    for name, found in before.items():
        assert np.abs(found - after[name]).max() <= 1e-4 * np.abs(found).max(), name
    return rewritten
