"""Inputs without fixed sizes: given by name or by --batch, and what does not fit is refused."""

import re

import numpy as np
import onnx
import pytest
from import_models import build, check_float, info, saved, value
from onnx import helper

from vla_toolchain.vlac_cli import main
from vlac import CompileOptions
from vlac.errors import ModelError
from vlac.import_onnx import load_model, parse_model
from vlac.import_onnx.shapes import shape_argument

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


def test_constants_keep_their_shapes_where_a_wrong_one_is_stated(tmp_path):
    """torch states shapes of its parameters, and wrong ones of some results; without those all are inferred."""
    rng = np.random.default_rng(7)
    w, bias = rng.standard_normal((6, 4)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "bias"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    model = build(nodes, [info("x", [1, 5, 6])], [info("y", [1, 5, 4])], [value("w", w), value("bias", bias)])
    model.graph.value_info.extend([info("bias", [4]), info("w", [6, 4]), info("a", [7])])
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    head, tail = parse_model(load_model(path, None), str(path))
    assert tail is None
    assert [list(v.shape) for n in head.graph for v in n.outputs] == [[1, 5, 4]] * 3
    assert all(v.shape is not None for v in head.graph.initializers.values())


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
