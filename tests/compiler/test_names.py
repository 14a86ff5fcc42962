"""A user's names never meet the compiler's: models whose values are called like what the compiler makes of them."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import pytest
from graphs import GraphBuilder
from onnx import numpy_helper
from qdq_graphs import QdqBuilder
from test_dialects import qonnx_model
from test_wide_weights import dequantized

import vlarun
from vla_isa.hardware import load
from vlac import CompileOptions
from vlac.import_onnx.names import settle_names, settle_outputs, unique_name
from vlac.passes import Compilation
from vlac.pipeline import PASSES
from vlac.rewrite.nodes import initializer


def layers():
    """A line, with what is folded into it, and its functions."""
    g = GraphBuilder("layers", 1)
    x = g.node("Conv", [g.input("x", (1, 4, 9)), g.constant(g.weight(6, 4, 3))], 6)
    values = [g.constant(np.abs(g.weight(6)) + 0.5) for _ in range(4)]
    x = g.node("Relu", [g.node("BatchNormalization", [x, *values], 6)])
    x = g.node("Div", [x, g.constant(np.linspace(1, 2, 7, dtype=np.float32))])
    pooled = g.node("MaxPool", [x], kernel_shape=[3], strides=[2])
    return g.model(pooled, g.node("Clip", [x, g.constant(np.float32(0.1)), g.constant(np.float32(2))]))


def variadic():
    g = GraphBuilder("variadic", 2)
    x = g.input("x", (1, 4, 5, 5))
    parts = [g.conv(x, 4), g.conv(x, 4), g.conv(x, 4)]
    y = g.node("Max", [g.node("Mean", parts), *parts[:2]])
    y = g.node("Pad", [y, g.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), g.constant(np.float32(-1e9))])
    y = g.node("MaxPool", [y], kernel_shape=[3, 3])
    return g.model(g.node("ConvTranspose", [y, g.constant(g.weight(4, 3, 2, 2))], 6, group=2))


def products():
    g = GraphBuilder("products", 3)
    x = g.input("x", (1, 3, 8))
    y = g.node("MatMul", [x, g.constant(g.weight(2, 8, 5))])
    z = g.node("Reshape", [g.node("Relu", [y]), g.constant(np.array([6, 5]))])
    z = g.node("Gemm", [z, g.constant(g.weight(5, 4)), g.constant(g.weight(6, 4))], 4, beta=0.5)
    return g.model(g.node("Mul", [z, g.constant(np.linspace(1, 2, 4, dtype=np.float32))]))


def volumes():
    g = GraphBuilder("volumes", 4)
    x = g.node("Relu", [g.input("x", (1, 2, 4, 6, 6))])
    values = [g.constant(np.abs(g.weight(2)) + 0.5) for _ in range(4)]
    x = g.node("BatchNormalization", [g.node("AveragePool", [x], kernel_shape=[2, 2, 2], strides=[2, 2, 2]), *values])
    return g.model(x)


def quantized():
    g = QdqBuilder("quantized", 5)
    x = g.qdq(g.input("x", (1, 12, 7, 7)), 0.0213, 7)
    h = g.node("Conv", [x, dequantized(g, (8, 12, 3, 3), np.uint8, 0, axis=0)], 8)
    s, z = g.constant(np.float32(0.05)), g.constant(np.int8(0))
    q = g.node("Clip", [g.node("QuantizeLinear", [h, s, z]), g.constant(np.int8(-100)), g.constant(np.int8(100))])
    h = g.node("Flatten", [g.node("DequantizeLinear", [q, s, z])], 200)
    w = g.node("Transpose", [dequantized(g, (9, 200), np.uint8, 1, axis=0)])
    return g.model(g.qdq(g.node("MatMul", [h, w], 9), 0.2))


MODELS = [layers, variadic, products, volumes, quantized, qonnx_model]


def compiled(model):
    """The names of every stage, and the compilation."""
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "model.onnx")
        calibration = None if model.graph.name in ("quantized", "qonnx") else "random:3"
        state = Compilation(Path(folder) / "model.onnx", load("tiny"), CompileOptions(calibration=calibration))
        names = set()
        for p in PASSES:
            p.run(state)
            names |= _names(onnx_ir.to_proto(state.model).graph)
    return names, state


def _names(graph):
    found = {t.name for t in (*graph.initializer, *graph.input, *graph.output)}
    return found | {name for n in graph.node for name in (n.name, *n.input, *n.output) if name}


def renamed(model, names):
    """The model with values and nodes called otherwise."""
    out = onnx.ModelProto.FromString(model.SerializeToString())
    for t in (*out.graph.initializer, *out.graph.input, *out.graph.output, *out.graph.value_info):
        t.name = names.get(t.name, t.name)
    for node in out.graph.node:
        node.name = names.get(node.name, node.name)
        for values in (node.input, node.output):
            values[:] = [names.get(v, v) for v in values]
    return out


def outputs(state, model):
    (given,) = model.graph.input
    shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
    x = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    return list(vlarun.Session(state.program, backend="sim").run({given.name: x}).values())


@pytest.mark.parametrize("make", MODELS)
def test_values_called_like_what_the_compiler_makes(make):
    """Half of the values take names that the compiler gave to what it made of the other half: nothing changes."""
    model = make()
    all_names, state = compiled(model)
    wanted, mine = outputs(state, model), sorted(_names(model.graph))
    made = sorted(all_names - set(mine))
    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(12):
        chosen = [n for n in rng.permutation(mine)[: len(mine) // 2].tolist() if n]
        free = [n for n in rng.permutation(made).tolist() if n.split(".")[0] not in chosen]
        names = dict(zip(chosen, free, strict=False))
        tried += len(names)
        other = renamed(model, names)
        found = outputs(compiled(other)[1], other)
        assert len(found) == len(wanted)
        assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True)), names
    assert tried > 20


def _graph(*constants):
    values = [onnx_ir.Value(name=n, const_value=onnx_ir.tensor(np.ones(1, np.float32), name=n)) for n in constants]
    x = onnx_ir.Value(name="x", shape=onnx_ir.Shape([1]), type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT))
    node = onnx_ir.node("Sum", [x, *values], name="sum")
    node.outputs[0].name = "y"
    graph = onnx_ir.Graph([x], [node.outputs[0]], nodes=[node], initializers=values, opset_imports={"": 17}, name="g")
    return onnx_ir.Model(graph, ir_version=8)


def test_names_that_are_taken_get_a_number():
    graph = _graph("w").graph
    assert [unique_name(graph, n) for n in ("w", "w", "x", "sum", "free")] == ["w.1", "w.2", "x.1", "sum.1", "free"]
    assert initializer(graph, "y", np.zeros(2, np.float32)).name == "y.1"


def test_a_constant_that_another_one_replaced_gets_its_place_back():
    """Passes of the library name a constant after another without looking: its readers keep the values they had."""
    model = _graph("w", "v")
    graph = model.graph
    graph.initializers["w"] = onnx_ir.Value(name="w", const_value=onnx_ir.tensor(np.full(1, 5, np.float32), name="w"))
    settle_names(model)
    node = graph[0]
    assert [v.const_value.numpy()[0] for v in node.inputs[1:]] == [1, 1]
    assert all(graph.initializers[v.name] is v for v in node.inputs[1:])
    arrays = {t.name: numpy_helper.to_array(t)[0] for t in onnx_ir.to_proto(model).graph.initializer}
    assert arrays[node.inputs[1].name] == 1


def test_outputs_keep_their_names_and_so_does_an_input_that_is_one():
    model = _graph("y2", "v")
    graph = model.graph
    graph.outputs.extend([graph.outputs[0], graph.inputs[0], graph.inputs[0]])
    settle_outputs(model, ["y", "y2", "x", "z"])
    assert [v.name for v in graph.outputs] == ["y", "y2", "x", "z"] and graph.inputs[0].name == "x"
    assert graph.outputs[2] is graph.inputs[0]
    assert [n.op_type for n in graph] == ["Sum", "Identity", "Identity"]
    assert "y2" not in graph.initializers and len(graph.initializers) == 2
