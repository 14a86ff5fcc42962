"""Graphs of a few nodes, in ONNX's text form: every value is called as the test says."""

import numpy as np
import onnx
import onnx_ir as ir


def model(body, inputs="float[1,4] x", outputs="y", opset=17, constants=None):
    """A graph in ONNX's text form, with the constants given as arrays."""
    results = ", ".join(o if "[" in o else f"float {o}" for o in outputs.split(", "))
    text = f'<ir_version: 8, opset_import: ["": {opset}, "mine": 1]> g ({inputs}) => ({results}) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for info in proto.graph.output:
        if not info.type.tensor_type.shape.dim:
            info.type.tensor_type.ClearField("shape")
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items())
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))
