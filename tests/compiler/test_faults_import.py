"""Files as they are shipped: initializers among the inputs, old opsets, dynamic sizes, tied weights."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import pytest
from graphs import GraphBuilder
from onnx import TensorProto, helper, numpy_helper, version_converter
from source_parity import check_real, run_source

from vla_isa.hardware import load
from vla_toolchain.vlac_cli import main
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError
from vlac.import_onnx import load_model, parse_model
from vlac.import_onnx.shapes import dims_of, model_inputs, shape_argument
from vlac.rewrite import rewrite_float

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


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


# --- opsets ----------------------------------------------------------------------------------------------------


def older(opset):
    """Operators whose attributes became inputs, or whose meaning changed, before opset 13."""
    rng = np.random.default_rng(2)
    constants = [
        value("w", rng.standard_normal((8, 4, 3, 3)).astype(np.float32)),
        *(value(n, rng.random(8).astype(np.float32) + 0.5) for n in ("s", "o", "m", "v")),
        value("k", rng.standard_normal((8, 5)).astype(np.float32)),
        value("c", rng.standard_normal(5).astype(np.float32)),
    ]
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["a"], auto_pad="SAME_UPPER"),
        node("BatchNormalization", ["a", "s", "o", "m", "v"], ["b"]),
    ]
    if opset < 11:
        nodes.append(node("Clip", ["b"], ["d"], min=-1.0, max=2.0))
        nodes.append(node("Pad", ["d"], ["e"], pads=[0, 0, 1, 0, 0, 0, 0, 1]))
    else:
        constants += [
            value("lo", np.float32(-1)),
            value("hi", np.float32(2)),
            value("p", np.array([0, 0, 1, 0, 0, 0, 0, 1])),
        ]
        nodes += [node("Clip", ["b", "lo", "hi"], ["d"]), node("Pad", ["d", "p"], ["e"])]
    scales = value("scales", np.array([1, 1, 2, 2], np.float32))
    if opset < 9:
        nodes.append(node("Upsample", ["e"], ["f"], scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"))
    elif opset < 10:
        nodes.append(node("Upsample", ["e", "scales"], ["f"], mode="nearest"))
    elif opset < 11:
        nodes.append(node("Resize", ["e", "scales"], ["f"], mode="nearest"))
    else:
        constants.append(value("roi", np.zeros(0, np.float32)))
        nodes.append(
            node(
                "Resize",
                ["e", "roi", "scales"],
                ["f"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        )
    constants += [scales] if opset >= 9 else []
    nodes.append(node("AveragePool", ["f"], ["g"], kernel_shape=[2, 2], strides=[2, 2]))
    nodes.append(node("Dropout", ["g"], ["h"]))
    nodes.append(node("ReduceSum", ["h"], ["i"], axes=[2, 3], keepdims=1))
    nodes.append(node("Squeeze", ["i"], ["j"], axes=[2, 3]))
    nodes.append(node("Unsqueeze", ["j"], ["l"], axes=[2]))
    nodes.append(node("Flatten", ["l"], ["q"]))
    nodes.append(node("Gemm", ["q", "k", "c"], ["r"], alpha=0.1))
    nodes.append(node("Softmax", ["r"], ["y"]))
    return build(nodes, [info("x", [1, 4, 6, 6])], [info("y", [1, 5]), info("d", [1, 8, 6, 6])], constants, opset=opset)


@pytest.mark.parametrize("opset", range(7, 13))
def test_older_opsets(opset, tmp_path):
    model = older(opset)
    x = np.random.default_rng(3).standard_normal((1, 4, 6, 6)).astype(np.float32)
    check_float(saved(model, tmp_path), {"x": x})
    check_real(model, 15)


def test_softmax_of_old_opsets_flattens(tmp_path):
    """Up to opset 12 its axis is where the tensor is split in two, and the default axis is 1."""
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Softmax", ["a"], ["y"])]
    x = np.random.default_rng(3).standard_normal((2, 3, 4)).astype(np.float32)
    check_float(saved(build(nodes, [info("x", [2, 3, 4])], [info("y", [2, 3, 4])], opset=11), tmp_path), {"x": x})


@pytest.mark.parametrize("opset", [1, 6, 25])
def test_other_opsets_are_refused(opset, tmp_path):
    model = older(7)
    model.opset_import[0].version = opset
    with pytest.raises(
        ModelError, match=rf"uses ONNX opset {opset}; the compiler reads 7 to 24, export it with opset_version=17"
    ):
        load_model(saved(model, tmp_path))


def test_a_converter_that_changes_the_model_is_refused(tmp_path, monkeypatch):
    convert = version_converter.convert_version

    def wrong(proto, target):
        out = convert(proto, target)
        next(n for n in out.graph.node if n.op_type == "Gemm").attribute[0].f = 0.2
        return out

    monkeypatch.setattr(version_converter, "convert_version", wrong)
    with pytest.raises(
        ModelError, match=r"opset 9; onnx's form of it in 13 gives another 'y'; export it with opset_version=13"
    ):
        load_model(saved(older(9), tmp_path))


def test_a_converter_that_fails_is_named(tmp_path, monkeypatch):
    def fails(proto, target):
        raise RuntimeError("no adapter for Foo")

    monkeypatch.setattr(version_converter, "convert_version", fails)
    with pytest.raises(
        ModelError, match=r"is of opset 9 and onnx cannot convert it to 13 \(no adapter for Foo\); export it"
    ):
        load_model(saved(older(9), tmp_path))


def test_the_domain_has_two_names(tmp_path):
    w = np.random.default_rng(4).standard_normal((4, 8, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = build(nodes, [info("x", [1, 8, 6, 6])], [info("y", [1, 4, 4, 4])], [value("w", w)])
    x = {"x": np.ones((1, 8, 6, 6), np.float32)}
    wanted = run_source(model, x)["y"]
    model.opset_import[0].domain = model.graph.node[0].domain = "ai.onnx"
    path = saved(model, tmp_path)
    assert np.array_equal(run_source(load_model(path).whole, x)["y"], wanted)
    assert compile_file(path, load("u50"), CompileOptions(calibration="random:1")).program is not None


def test_sparse_constants_are_named(tmp_path):
    model = build([helper.make_node("Relu", ["x"], ["y"])], [info("x", [1, 8])], [info("y", [1, 8])])
    sparse = helper.make_sparse_tensor(value("mask", np.ones(1, np.float32)), value("at", np.array([3])), [8])
    model.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelError, match="constant 'mask' is sparse"):
        load_model(saved(model, tmp_path))


# --- dynamic sizes ---------------------------------------------------------------------------------------------


def dynamic(sizes=("n", 4, "height", "width"), *, other=None):
    """A network that reshapes by what Shape says, as exporters write it."""
    rng = np.random.default_rng(5)
    w = rng.standard_normal((8, 4, 3, 3)).astype(np.float32)
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Shape", ["a"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"]),
        node("Unsqueeze", ["batch", "zero1"], ["b1"]),
        node("Concat", ["b1", "minus"], ["shape"], axis=0),
        node("Reshape", ["a", "shape"], ["y"]),
    ]
    constants = [
        value("w", w),
        value("zero", np.int64(0)),
        value("zero1", np.array([0])),
        value("minus", np.array([-1])),
    ]
    inputs = [info("x", sizes)]
    if other is not None:
        inputs.append(info("z", other))
        nodes.append(node("Relu", ["z"], ["v"]))
    outputs = [info("y", [sizes[0] if isinstance(sizes[0], str) else 1, "m"]), *([info("v", other)] if other else [])]
    return build(nodes, inputs, outputs, constants)


@pytest.mark.parametrize(
    "options",
    [
        CompileOptions(input_shapes={"x": (1, 4, 6, 10)}),
        CompileOptions(input_shapes={"x": (1, 4, 6, 10)}, batch=1),
    ],
)
def test_dynamic_sizes_that_are_given(options, tmp_path):
    x = np.random.default_rng(6).standard_normal((1, 4, 6, 10)).astype(np.float32)
    model = check_float(saved(dynamic(), tmp_path), {"x": x}, options)
    assert {n.op_type for n in model.graph} <= {"Conv", "Reshape"}


def test_batch_is_for_all_inputs(tmp_path):
    path = saved(dynamic(("n", 4, 6, 6), other=("n", 3)), tmp_path)
    model = load_model(path, CompileOptions(batch=1))
    assert [[d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.light.graph.input] == [
        [1, 4, 6, 6],
        [1, 3],
    ]


def test_a_size_of_one_name_is_one_number(tmp_path):
    path = saved(dynamic(("n", 4, 6, 6), other=("n", 3)), tmp_path)
    model = load_model(path, CompileOptions(input_shapes={"x": (1, 4, 6, 6)}))
    assert [d.dim_value for d in model.light.graph.input[1].type.tensor_type.shape.dim] == [1, 3]


@pytest.mark.parametrize(
    ("shapes", "batch", "message"),
    [
        ({"image": (1, 4, 6, 6)}, None, "no input 'image' for --input-shape; its inputs are x"),
        (
            {"x": (1, 4, 6)},
            None,
            "--input-shape x=1,4,6 has 3 sizes; the model's input has 4, ['n', 4, 'height', 'width']",
        ),
        ({"x": (1, 3, 6, 6)}, None, "--input-shape x=1,3,6,6 says 3 where input 'x' has 4, ['n', 4,"),
        ({"x": (1, 4, 6, 6)}, 2, None),
        (
            {},
            1,
            "input 'x' has a dynamic shape [1, 4, 'height', 'width']; the compiler needs static shapes, "
            "give --input-shape x=1,4,N,N",
        ),
        ({}, None, "give --input-shape x=N,4,N,N with a number for each N, or --batch 1"),
    ],
)
def test_sizes_that_do_not_fit(shapes, batch, message, tmp_path):
    path = saved(dynamic(), tmp_path)
    options = CompileOptions(input_shapes=shapes, batch=batch)
    if message is None:  # --batch is for inputs without an --input-shape
        assert load_model(path, options).light.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
        return
    with pytest.raises(ModelError, match=re.escape(message)):
        parse_model(load_model(path, options), str(path))


def test_contradictions_of_names_and_of_batch(tmp_path):
    path = saved(dynamic(("n", 4, 6, 6), other=("n", 3)), tmp_path)
    with pytest.raises(ModelError, match=r"--input-shape z=2,3 says 2 where input 'z' has 1 for 'n'"):
        load_model(path, CompileOptions(input_shapes={"x": (1, 4, 6, 6), "z": (2, 3)}))
    path = saved(dynamic((1, 4, 6, 6)), tmp_path)
    with pytest.raises(ModelError, match=r"--batch 2 says 2 where input 'x' has 1, \[1, 4, 6, 6\]"):
        load_model(path, CompileOptions(batch=2))


def test_flags(tmp_path, capsys):
    path = saved(dynamic(), tmp_path)
    command = ["compile", str(path), "-o", str(tmp_path / "p.bin"), "--calib", "random:2"]
    assert main([*command, "--input-shape", "x=1,4,6,6"]) == 0
    assert main(command) == 1
    assert "--input-shape x=N,4,N,N" in capsys.readouterr().err
    assert main([*command, "--input-shape", "x=1,4,six"]) == 2
    assert "'x=1,4,six' is not NAME=N,N,..." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "=1,2", "x=", "x=1,-2", "x=0", "x=1,,2"])
def test_shape_arguments_that_are_refused(text):
    with pytest.raises(ValueError, match="is not NAME=N,N"):
        shape_argument(text)


def test_names_of_inputs_may_hold_anything():
    assert shape_argument("images:0=x=1,3") == ("images:0=x", (1, 3))


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
        ("y", TensorProto.BFLOAT16, "output 'y' is bfloat16"),
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
