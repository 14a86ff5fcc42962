"""Every bad model and every bad calibration file ends in a message, exit code 1, and no file."""

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder
from refusals import compile_refused

from vla_toolchain.vlac_cli import main

# --- models that are refused ----------------------------------------------------------------------------


def test_missing_model(capsys, tmp_path):
    compile_refused(capsys, tmp_path, tmp_path / "no.onnx", "does not exist", "no.onnx")
    compile_refused(capsys, tmp_path, tmp_path, "not a file")


def test_empty_model(capsys, tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    compile_refused(capsys, tmp_path, tmp_path / "empty.onnx", "is empty")


@pytest.mark.parametrize("text", ["hello, this is text\n", "{}", "\n\n\n", "P6 1 1 255"])
def test_text_model(capsys, tmp_path, text):
    (tmp_path / "text.onnx").write_text(text)
    compile_refused(capsys, tmp_path, tmp_path / "text.onnx", "text.onnx", "ONNX")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_truncated_model(capsys, tmp_path, models, share):
    data = (models / "net.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    compile_refused(capsys, tmp_path, tmp_path / "cut.onnx", "cut.onnx")


def test_all_unsupported_nodes_are_listed_with_their_rules(capsys, tmp_path):
    g = GraphBuilder("many")
    w = g.node("LRN", [g.node("LRN", [g.input("w", (4, 4, 1, 1))], 4, size=3)], 4, size=3)
    x = g.node("Conv", [g.input("x", (1, 4, 16, 16)), w], 4)
    onnx.save(g.model(g.node("LpNormalization", [x], 4)), tmp_path / "many.onnx")
    compile_refused(
        capsys,
        tmp_path,
        tmp_path / "many.onnx",
        "4 nodes cannot run",
        "LRN x 2 ('lrn0', 'lrn1') cannot run on 'u50': It must be in a float model, of one [1, C, ...]",
        "Conv 'conv2' cannot run on 'u50': The weights must be constants",
        "Found computed weights 'lrn1'.",
        "LpNormalization 'lpnormalization3': the operator is not supported",
        "vlac ops",
        "--allow-host",
    )


def change(models, tmp_path, edit):
    """net.onnx after `edit`, as a new file."""
    model = onnx.load(str(models / "net.onnx"))
    edit(model)
    (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "changed.onnx"


def input_shape(*dims):
    def edit(model):
        for d, value in zip(model.graph.input[0].type.tensor_type.shape.dim, dims, strict=True):
            d.Clear()
            setattr(d, "dim_param" if isinstance(value, str) else "dim_value", value)

    return edit


def input_type(kind):
    def edit(model):
        model.graph.input[0].type.tensor_type.elem_type = getattr(onnx.TensorProto, kind)

    return edit


def opset(version):
    def edit(model):
        model.opset_import[0].version = version

    return edit


def cycle(model):
    conv, relu = model.graph.node[:2]
    conv.input[0] = relu.output[0]


def undefined(model):
    model.graph.node[0].input[0] = "nothing"


def no_outputs(model):
    del model.graph.output[:]


def two_equal_outputs(model):
    model.graph.output.append(model.graph.output[0])


def not_a_number(model):
    weights = model.graph.initializer[0]
    array = onnx.numpy_helper.to_array(weights).copy()
    array[0] = np.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))


def future_format(model):
    model.ir_version = 99


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (input_shape("batch", 3, 8, 8), ("input 'image' has a dynamic shape ['batch', 3, 8, 8]", "batch 1")),
        (input_shape(1, 3, 0, 8), ("input 'image' has shape [1, 3, 0, 8]", "at least 1")),
        (input_shape(1, 3, -8, 8), ("input 'image' has shape [1, 3, -8, 8]", "at least 1")),
        (input_shape(1, 3, 100_000, 100_000), ("30000000000 values", "limit is 268435456")),
        (input_shape(1, 3, 1 << 40, 1 << 40), ("input 'image' has shape", "limit is 268435456")),
        (input_shape(1, 4, 8, 8), ("Conv 'conv0' cannot run", "4 input and 8 output channels, 1 groups of 3")),
        (input_type("INT64"), ("has inconsistent shapes", "(7) vs (1)")),
        (opset(6), ("opset 6", "7 to 24")),
        (opset(25), ("opset 25", "7 to 24")),
        (opset(1000), ("opset 1000", "7 to 24")),
        (input_type("STRING"), ("input 'image' is string", "numbers and truth values")),
        (cycle, ("changed.onnx", "topologically sorted")),
        (undefined, ("'nothing'", "not output of any previous nodes")),
        (no_outputs, ("changed.onnx' has no outputs",)),
        (two_equal_outputs, ("twice among its outputs",)),
        (not_a_number, ("constant 'c0' has 27 of 216 values that are not finite",)),
        (future_format, ("ir_version 99",)),
    ],
)
def test_refused_models(capsys, tmp_path, models, edit, parts):
    compile_refused(capsys, tmp_path, change(models, tmp_path, edit), *parts)


@pytest.mark.parametrize(
    ("place", "part"),
    [("../../../etc/passwd", "outside the directory"), ("/etc/passwd", "absolute path"), ("none.data", "none.data")],
)
def test_external_data_stays_beside_the_model(capsys, tmp_path, models, place, part):
    onnx.save(
        onnx.load(str(models / "net.onnx")),
        tmp_path / "external.onnx",
        save_as_external_data=True,
        location="weights.data",
        size_threshold=0,
    )
    assert (
        main(["compile", str(tmp_path / "external.onnx"), "-o", str(tmp_path / "ok.out"), "--calib", "random:1"]) == 0
    )
    model = onnx.load(str(tmp_path / "external.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = place
    (tmp_path / "moved.onnx").write_bytes(model.SerializeToString())
    compile_refused(capsys, tmp_path, tmp_path / "moved.onnx", "moved.onnx", part)


def test_too_large_for_the_scratchpad(capsys, tmp_path):
    g = GraphBuilder("large")
    onnx.save(g.model(g.gemm(g.input("x", (1, 200_000)), 200_000, 2, relu=False)), tmp_path / "large.onnx")
    compile_refused(capsys, tmp_path, tmp_path / "large.onnx", "Gemm 'gemm0'", "weight scratchpad", "K = 200000")


# --- calibration ----------------------------------------------------------------------------------------


def test_no_calibration(capsys, tmp_path, models):
    compile_refused(capsys, tmp_path, models / "net.onnx", "no calibration data", "--calib DATA.npz", extra=())


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"wrong": np.zeros((1, 3, 8, 8))}, "unknown input 'wrong'"),
        ({"image": np.zeros((1, 3, 8, 8)), "more": np.zeros(3)}, "unknown input 'more'"),
        ({"image": np.zeros((3, 9, 9))}, "shape [3, 9, 9]"),
        ({"image": np.full((1, 3, 8, 8), np.nan)}, "must be finite"),
        ({"image": np.full((1, 3, 8, 8), np.inf)}, "must be finite"),
        ({"image": np.full((1, 3, 8, 8), 1e300)}, "float32 holds no such number"),
        ({"image": np.full((1, 3, 8, 8), "x")}, "dtype <U1"),
        ({"image": np.zeros((1, 3, 8, 8), np.complex64)}, "dtype complex64"),
        ({"image": np.array([None, {}])}, "no whole .npz file of plain arrays"),
        ({"image": np.zeros((0, 3, 8, 8))}, "shape [0, 3, 8, 8]"),
    ],
)
def test_wrong_calibration(capsys, tmp_path, models, arrays, part):
    np.savez(tmp_path / "c.npz", **arrays)
    compile_refused(capsys, tmp_path, models / "net.onnx", part, extra=("--calib", tmp_path / "c.npz"))


def test_unreadable_calibration(capsys, tmp_path, models):
    (tmp_path / "c.npz").write_text("no archive")
    compile_refused(capsys, tmp_path, models / "net.onnx", "no whole .npz", extra=("--calib", tmp_path / "c.npz"))
    compile_refused(capsys, tmp_path, models / "net.onnx", "does not exist", extra=("--calib", tmp_path / "none.npz"))
    (tmp_path / "folder").mkdir()
    compile_refused(capsys, tmp_path, models / "net.onnx", "holds no .npz", extra=("--calib", tmp_path / "folder"))
    np.save(tmp_path / "one.npy", np.zeros((1, 3, 8, 8)))
    compile_refused(
        capsys, tmp_path, models / "net.onnx", "write it with numpy.savez", extra=("--calib", tmp_path / "one.npy")
    )
    np.savez(tmp_path / "d.npz", image=np.zeros((1, 3, 8, 8)))
    data = bytearray((tmp_path / "d.npz").read_bytes())
    data[200] ^= 255
    (tmp_path / "d.npz").write_bytes(data)
    compile_refused(capsys, tmp_path, models / "net.onnx", "no whole .npz", extra=("--calib", tmp_path / "d.npz"))


@pytest.mark.parametrize("count", ["0", "-1", "x", ""])
def test_random_calibration_needs_a_number(capsys, tmp_path, models, count):
    part = f"random:N takes a number of samples from 1 to 99999; found '{count}'"
    compile_refused(capsys, tmp_path, models / "net.onnx", part, extra=("--calib", f"random:{count}"))
