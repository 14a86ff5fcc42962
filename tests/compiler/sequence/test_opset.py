"""A model whose opset is raised computes what it did: operators whose form changed since are written in the new one."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from recovered import run
from small_graphs import model

from vlac import CompileOptions
from vlac.quantize.static import quantize_model
from vlac.rewrite.sequence.opset import raise_opset

RNG = np.random.default_rng(0)
BODIES = {
    "reductions": "a = ReduceMean<axes = [1]>(x) b = ReduceMax<axes = [1], keepdims = 0>(x) c = ReduceL2(x) "
    "d = Mul(a, c) y = Add(d, b)",
    "all reductions": " ".join(
        f"r{i} = Reduce{op}<axes = [-1]>(p)"
        for i, op in enumerate(("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"))
    )
    + " y = Sum(r0, r1, r2, r3, r4, r5, r6, r7, r8)",
    "split": "a, b = Split<axis = 2>(x) y = Mul(a, b)",
    "grid": 'y = GridSample<mode = "bilinear">(i, g)',
    "pool": "y = AveragePool<kernel_shape = [2, 2]>(i)",
    "resize": 'y = Resize<mode = "linear">(i, , s)',
}
INPUTS = "float[1,4,6] x, float[1,1,4,4] i, float[1,4,4,2] g"


@pytest.mark.parametrize("opset", [13, 16, 17])
@pytest.mark.parametrize("target", ["Gelu", "RMSNormalization", "Swish"])
@pytest.mark.parametrize("name", BODIES)
def test_raised(name, target, opset):
    if name == "grid" and opset < 16:
        pytest.skip("GridSample is of opset 16")
    body = "p = Abs(x) " + BODIES[name]
    found = model(body, INPUTS, opset=opset, constants={"s": np.float32([1, 1, 2, 2])} if name == "resize" else {})
    before = ir.to_proto(found)
    extra = ir.node(target, [found.graph.outputs[0], *([_ones(found)] if target[0] == "R" else [])])
    extra.outputs[0].name = "z"
    found.graph.append(extra)
    found.graph.outputs.append(extra.outputs[0])
    assert raise_opset(found)
    assert not raise_opset(found)
    after = onnx.shape_inference.infer_shapes(ir.to_proto(found))
    del before.graph.output[1:]
    feeds = {
        "x": RNG.standard_normal((1, 4, 6)),
        "i": RNG.standard_normal((1, 1, 4, 4)),
        "g": RNG.uniform(-1, 1, (1, 4, 4, 2)),
    }
    feeds = {n: a.astype(np.float32) for n, a in feeds.items()}
    assert np.allclose(run(before, feeds)[0], run(after, feeds)[0], rtol=1e-6)


def _ones(found):
    value = ir.Value(name="ones", const_value=ir.tensor(np.ones(1, np.float32), name="ones"))
    found.graph.register_initializer(value)
    return value


def test_a_model_that_needs_none_stays():
    found = model("y = Relu(x)", opset=17)
    assert not raise_opset(found)
    assert found.graph.opset_imports[""] == 17


def test_a_quantized_model_is_of_one_opset():
    """int16 needs opset 21: the Split beside it says its number of outputs from 18 on."""
    body = "n = LayerNormalization(x, g) y = MatMul(n, w) a, b = Split<axis = 2>(y) z = Add(a, b)"
    constants = {"g": np.ones(6, np.float32), "w": np.ones((6, 6), np.float32)}
    found = model(body, "float[1,4,6] x", opset=17, constants=constants)
    made = quantize_model(found, CompileOptions(calibration={"x": RNG.standard_normal((1, 4, 6)).astype(np.float32)}))
    assert made.qdq.opset_import[0].version == 21
    onnx.checker.check_model(made.qdq, full_check=True)
