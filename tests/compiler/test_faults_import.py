"""Files as they are shipped: initializers among the inputs, tied weights, computed constants, what cannot be held."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder
from import_models import build, check_float, info, saved, value
from onnx import TensorProto, helper
from source_parity import check_real

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError
from vlac.import_onnx import load_model, parse_model
from vlac.import_onnx.shapes import dims_of, model_inputs

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


# --- initializers that are inputs ------------------------------------------------------------------------------


@pytest.mark.parametrize("ir", [3, 8])
def test_initializers_among_the_inputs_are_constants(ir, capfd):
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((16, 8, 3, 3)).astype(np.float32), rng.standard_normal(16).astype(np.float32)
    inputs = [info("x", [1, 8, 10, 10]), info("w", [16, 8, 3, 3]), info("b", [16])]
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])]
    model = build(nodes, inputs, [info("y", [1, 16, 10, 10])], [value("w", w), value("b", b)], ir=ir)
    state = check_real(model, 30)
    assert [t.name for t in state.program.inputs] == ["x"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_models_of_the_onnx_package(name, capfd):
    """IR 3 and opset 9: every weight is computed by ConstantOfShape, and the expected output lies beside the file."""
    path = LIGHT / f"light_{name}.onnx"
    (given,) = model_inputs(onnx.load(path))
    x = np.random.default_rng(1).random(dims_of(given)).astype(np.float32)
    check_float(path, {given.name: x})
    assert compile_file(path, load("u50"), CompileOptions(calibration="random:1")).program is not None
    assert "kipp" not in capfd.readouterr().err  # "Skipped deduplication", "Skipping constant folding"


# --- weights that are used in two ways -------------------------------------------------------------------------


def tied(kind):
    g = GraphBuilder("tied", 7)
    if kind == "Gemm":
        w = g.constant(g.weight(8, 4))
        h = g.node("Gemm", [g.input("x", (1, 8)), w])
        return g.model(g.node("Gemm", [h, w], transB=1))
    if kind == "Conv and ConvTranspose":
        w = g.constant(g.weight(16, 8, 3, 3))
        h = g.node("Relu", [g.node("Conv", [g.input("x", (1, 8, 6, 6)), w], 16, pads=[1, 1, 1, 1])])
        return g.model(g.node("ConvTranspose", [h, w], 8, pads=[1, 1, 1, 1]))
    if kind == "weight and addend":
        w = g.constant(g.weight(8, 8))
        return g.model(g.node("Add", [g.node("MatMul", [g.input("x", (8, 8)), w]), w]))
    w, x = g.constant(g.weight(8)), g.input("x", (1, 8))  # bias and addend
    return g.model(
        g.node("Add", [g.node("Gemm", [x, g.constant(g.weight(8, 8)), w]), g.node("Relu", [g.node("Add", [x, w])])])
    )


@pytest.mark.parametrize("kind", ["Gemm", "Conv and ConvTranspose", "weight and addend", "bias and addend"])
def test_tied_weights(kind):
    check_real(tied(kind), 25)


# --- constants that are computed -------------------------------------------------------------------------------


def test_a_computed_constant_that_is_read_by_the_model_and_by_another_one(tmp_path):
    rng = np.random.default_rng(1)
    shapes = {"query": (4, 4), "scale": 4, "bias": 4, "w": (4, 4)}
    constants = [value(name, rng.standard_normal(shape, np.float32)) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("LayerNormalization", ["query", "scale", "bias"], ["normal"], name="normal"),
        helper.make_node("Transpose", ["normal"], ["turned"], name="turned"),
        helper.make_node("Gemm", ["x", "w"], ["seen"], name="seen"),
        helper.make_node("Add", ["seen", "normal"], ["moved"], name="moved"),
        helper.make_node("Mul", ["moved", "turned"], ["y"], name="scaled"),
    ]
    path = saved(build(nodes, [info("x", (4, 4))], [info("y", (4, 4))], constants), tmp_path)
    check_float(path, {"x": rng.standard_normal((4, 4), np.float32)})


# --- what cannot be held or shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("y\x00z", TensorProto.FLOAT, r"output 'y\\x00z' has a name that cannot be printed"),
        ("y\n\x1b[31m", TensorProto.FLOAT, "cannot be printed"),
        ("y", TensorProto.STRING, "output 'y' is string; the compiler reads numbers"),
        ("y", None, "output 'y' is not a tensor"),
    ],
)
def test_outputs_that_no_file_holds(name, kind, message):
    nodes = [helper.make_node("Cast", ["x"], [name], to=kind or 1)]
    outputs = [info(name, (1, 4), kind)] if kind else [helper.make_tensor_sequence_value_info(name, 1, None)]
    if kind is None:
        nodes = [helper.make_node("SequenceConstruct", ["x"], [name])]
    with pytest.raises(ModelError, match=message):
        parse_model(load_model(build(nodes, [info("x", (1, 4))], outputs)), "m.onnx")


def test_inner_names_that_cannot_be_printed_are_replaced(tmp_path):
    constants = [value("w\n", np.eye(4, dtype=np.float32))]
    nodes = [
        helper.make_node("Gemm", ["x", "w\n"], ["m\x1b[31m"], name="a\nb"),
        helper.make_node("Add", ["m\x1b[31m", "w\n"], ["n"], name="a_b"),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    path = saved(build(nodes, [info("x", (4, 4))], [info("y", (4, 4))], constants), tmp_path)
    graph = check_float(path, {"x": np.ones((4, 4), np.float32)}).graph
    names = [n.name for n in graph] + [v.name for n in graph for v in (*n.inputs, *n.outputs)]
    assert all(name.isprintable() for name in names) and "a_b" in names


def test_sizes_are_refused_before_anything_is_computed(tmp_path):
    doubled = [helper.make_node("Concat", [f"d{i}"] * 2, [f"d{i + 1}"], axis=0) for i in range(40)]
    last = [helper.make_node("ReduceMax", ["d40"], ["s"], keepdims=0), helper.make_node("Add", ["x", "s"], ["y"])]
    constants = [value("d0", np.ones((4, 4), np.float32))]
    model = build(doubled + last, [info("x", (1, 4))], [info("y", (1, 4))], constants)
    with pytest.raises(ModelError, match="the limit is 268435456"):  # computed, it would take 64 TB
        parse_model(load_model(model), "m.onnx")


@pytest.mark.parametrize("calls", [["F1", "F1"], ["F0"]])
def test_functions_without_an_end_are_refused(calls, tmp_path):
    """F0 calls F1 twice, that calls F2 twice, ...; or F0 calls itself."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    model = helper.make_model(
        helper.make_graph([helper.make_node("F0", ["x"], ["y"], domain="my")], "g", [info("x", [1])], [info("y", [1])]),
        opset_imports=opsets,
        ir_version=8,
    )
    for level in range(30):
        names = calls if level == 0 else [f"F{level + 1}"] * 2 if level < 29 else ["Relu"]
        steps = ["a", *(f"t{i}" for i in range(len(names) - 1)), "b"]
        nodes = [
            helper.make_node(n, [steps[i]], [steps[i + 1]], domain="" if n == "Relu" else "my")
            for i, n in enumerate(names)
        ]
        model.functions.append(helper.make_function("my", f"F{level}", ["a"], ["b"], nodes, opsets))
    with pytest.raises(ModelError, match="more than 100000 nodes, its functions written out"):
        load_model(saved(model, tmp_path))


def test_a_constant_of_no_type_is_refused(tmp_path):
    constant = value("w", np.ones((4, 4), np.float32))
    constant.data_type = 99
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [info("x", (1, 4))], [info("y", (1, 4))], [constant])
    path = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    with pytest.raises(ModelError, match="is not a valid ONNX model"):
        parse_model(load_model(path), str(path))


def test_more_axes_than_numpy_has_are_refused():
    model = build([helper.make_node("Relu", ["x"], ["y"])], [info("x", [1] * 70)], [info("y", [1] * 70)])
    with pytest.raises(ModelError, match="input 'x' has 70 axes; the limit is 32"):
        parse_model(load_model(model), "m.onnx")
