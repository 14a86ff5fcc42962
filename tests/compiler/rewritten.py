"""A rewrite alone, on graphs of a few nodes: what comes out, and that it computes the same in ONNX Runtime."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnxscript.rewriter import rewrite
from small_graphs import model


def run(proto, arrays):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, arrays)


def rewritten(apply, body, inputs, outputs="y", computes=True, rtol=1e-5, **options):
    """The model behind `apply`: a rule, or a function that changes a model in place.

    Shapes and names of its outputs stay, the shapes it notes are those that ONNX infers, and its numbers are the same
    (`computes=False`: ONNX Runtime has no such operator).
    """
    source = model(body, inputs, outputs, **options)
    before = ir.to_proto(source)
    if callable(apply):
        apply(source)
    else:
        rewrite(source, (apply,))
    after = ir.to_proto(source)
    onnx.shape_inference.infer_shapes(after, check_type=True, strict_mode=True)
    assert [o.name for o in after.graph.output] == [o.name for o in before.graph.output]
    if computes:
        onnx.checker.check_model(after, full_check=True)
        rng = np.random.default_rng(0)
        shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in before.graph.input}
        kinds = {i.name: i.type.tensor_type.elem_type for i in before.graph.input}
        arrays = {
            name: np.asarray(3 * rng.standard_normal(shape)).astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[name]))
            for name, shape in shapes.items()
        }
        for wanted, given in zip(run(before, arrays), run(after, arrays), strict=True):
            assert wanted.shape == given.shape
            size = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)  # of sums that may cancel
            assert np.allclose(wanted, given, rtol=rtol, atol=rtol * size)
    return source


def ops(found):
    """The operators in order."""
    return [n.op_type for n in found.graph]


def constants(found, node, index):
    """Constant input `index` of the only node of type `node`."""
    (only,) = [n for n in found.graph if n.op_type == node]
    return only.inputs[index].const_value.numpy()
