"""Models of older opsets are converted, and what a converter gets wrong is refused."""

import numpy as np
import pytest
from import_models import build, check_float, info, saved, value
from onnx import helper, version_converter
from source_parity import check_real, run_source

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError
from vlac.import_onnx import load_model

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
