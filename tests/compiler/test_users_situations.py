"""Situations that users of other ONNX compilers reported, rebuilt small and taken through the command line.

Docstrings name the public reports. What the program gives is held against ONNX Runtime on the user's own model:
names and their order, shapes, dtypes, and values. Not here: reports that earlier tests hold (`test_faults_*`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from source_parity import Arrays, run_source, snr

from vla_toolchain.vlac_cli import main
from vlarun import open_session

NODE = helper.make_node
ENOUGH = 30.0  # dB; right 8-bit programs of these models have 33 and more
Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[Any]]


def weights(*shape: int) -> NDArray[np.float32]:
    """Weights that neither grow nor shrink what passes through them."""
    size = np.sqrt(max(1, int(np.prod(shape[1:]))))
    return np.asarray(np.random.default_rng(shape).standard_normal(shape) / size, np.float32)


def network(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: list[str],
    constants: Mapping[str, Any],
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {v.name: v for v in [*inferred.value_info, *inferred.output]}
    del model.graph.output[:]
    model.graph.output.extend(known[n] for n in outputs)
    onnx.checker.check_model(model, full_check=True)
    return model


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
    return rng.uniform(-1, 1, shape)


def frames(model: onnx.ModelProto, count: int, draw: Mapping[str, Draw]) -> list[Arrays]:
    """As many runs' inputs, others for every count."""
    rng = np.random.default_rng(count)
    shapes = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in model.graph.input}
    return [{n: draw.get(n, uniform)(rng, s).astype(np.float32) for n, s in shapes.items()} for _ in range(count)]


def compiled(model: onnx.ModelProto, folder: Path, *options: str, draw: Mapping[str, Draw] | None = None) -> int:
    """The exit code of `vlac compile`, with calibration data where the model is not quantized."""
    onnx.save(model, folder / "model.onnx")
    if not any(n.op_type == "QuantizeLinear" for n in model.graph.node):
        data = frames(model, 64, draw or {})
        np.savez(folder / "calib.npz", **{n: np.stack([d[n] for d in data]) for n in data[0]})
        options = ("--calib", str(folder / "calib.npz"), *options)
    return main(["compile", str(folder / "model.onnx"), "-o", str(folder / "prog.bin"), *options])


def check(
    model: onnx.ModelProto,
    folder: Path,
    *options: str,
    draw: Mapping[str, Draw] | None = None,
    enough: float = ENOUGH,
) -> None:
    """Compile, run, and hold every output against ONNX Runtime: integers exactly, others to `enough` dB."""
    assert compiled(model, folder, *options, draw=draw) == 0
    session = open_session(str(folder / "prog.bin"))
    found: dict[str, list[NDArray[Any]]] = {o.name: [] for o in model.graph.output}
    wanted: dict[str, list[NDArray[Any]]] = {o.name: [] for o in model.graph.output}
    for frame in frames(model, 4, draw or {}):
        outputs, reference = session.run(frame), run_source(model, frame)
        assert list(outputs) == list(reference)
        for name, values in reference.items():
            assert outputs[name].shape == values.shape and outputs[name].dtype == values.dtype, name
            found[name].append(outputs[name])
            wanted[name].append(values)
    for name in wanted:
        right, got = np.stack(wanted[name]), np.stack(found[name])
        if right.dtype.kind == "f":
            assert snr(right, got) >= enough, (name, snr(right, got))
        else:
            assert np.array_equal(right, got), name


def test_names_cross_between_inputs_and_outputs(tmp_path):
    """Samsung/ONE#9518: inputs I2, I3, I1 and outputs O2, O3, O1 came out under each other's names."""
    nodes = [
        *(NODE(op, [x], [y]) for op, x, y in (("Relu", "I2", "a"), ("Sigmoid", "I3", "b"), ("Tanh", "I1", "c"))),
        *(NODE("Add", pair, [y]) for pair, y in ((["a", "b"], "ab"), (["a", "c"], "ac"), (["b", "c"], "bc"))),
        *(NODE(op, [x], [y]) for op, x, y in (("Relu", "ab", "O2"), ("Sigmoid", "ac", "O3"), ("Tanh", "bc", "O1"))),
    ]
    check(network(nodes, dict.fromkeys(("I2", "I3", "I1"), (2, 3)), ["O2", "O3", "O1"], {}), tmp_path, "--verify")


def test_heads_keep_the_order_of_the_model(tmp_path):
    """qualcomm/qai-appbuilder#40, onnxsim/onnxsim#1455: heads of several sizes came back sorted by name."""
    heads = {"out0": 4, "out2": 10, "out1": 2}
    nodes = [NODE("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), NODE("Relu", ["c"], ["r"])]
    constants: dict[str, Any] = {"w": weights(16, 3, 3, 3)}
    for name, channels in heads.items():
        nodes += [
            NODE("Conv", ["r", f"{name}.w"], [f"{name}.c"]),
            NODE("Reshape", [f"{name}.c", f"{name}.s"], [f"{name}.r"]),
            NODE("Transpose", [f"{name}.r"], [name], perm=[0, 2, 1]),
        ]
        constants |= {f"{name}.w": weights(channels, 16, 1, 1), f"{name}.s": np.array([1, channels, 400])}
    check(network(nodes, {"x": (1, 3, 20, 20)}, list(heads), constants), tmp_path)


@pytest.mark.parametrize("slope", [(1, 1, 4, 1), (1, 1, 1, 4), (4,), (1,), (4, 1, 1), (4, 4, 4)], ids=str)
def test_prelu_spreads_its_slope(slope, tmp_path):
    """apache/tvm#18598: a slope per row, column, channel or value was spread along another axis."""
    nodes = [NODE("PRelu", ["x", "slope"], ["y"])]
    constants = {"slope": np.random.default_rng(1).uniform(-2, 2, slope).astype(np.float32)}
    check(network(nodes, {"x": (1, 4, 4, 4)}, ["y"], constants), tmp_path)


@pytest.mark.parametrize(
    "sizes",
    [
        {"pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"output_shape": [28, 28]},
        {"output_shape": [27, 29]},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "VALID", "dilations": [2, 1]},
    ],
    ids=str,
)
def test_transposed_convolution_has_the_size_asked_for(sizes, tmp_path):
    """apache/tvm#18601: with an output padding the result was a row and a column short."""
    nodes = [NODE("ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2], **sizes)]
    constants = {"w": weights(4, 6, 3, 3), "b": weights(6)}
    check(network(nodes, {"x": (1, 4, 14, 14)}, ["y"], constants), tmp_path)


def test_batch_norm_behind_a_grouped_transposed_convolution(tmp_path):
    """pytorch/pytorch#180995: the scales of the second group went to the weights of the first, or shapes failed."""
    norm = {"s": weights(6), "b": weights(6), "mean": weights(6), "var": np.abs(weights(6)) + np.float32(0.1)}
    nodes = [
        NODE("ConvTranspose", ["x", "w"], ["c"], group=2, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        NODE("BatchNormalization", ["c", *norm], ["y"]),
    ]
    check(network(nodes, {"x": (1, 4, 8, 8)}, ["y"], {"w": weights(4, 3, 3, 3), **norm}), tmp_path, "--verify")


def test_a_constant_image_behind_a_grouped_convolution(tmp_path):
    """microsoft/onnxruntime#12498: the addend of the first group was taken for all groups."""
    nodes = [NODE("Conv", ["x", "w", "b"], ["c"], group=4), NODE("Add", ["c", "k"], ["y"])]
    constants = {"w": weights(40, 10, 1, 1), "b": weights(40), "k": np.arange(40 * 36).reshape(1, 40, 6, 6) / 700}
    constants["k"] = constants["k"].astype(np.float32)
    check(network(nodes, {"x": (1, 40, 6, 6)}, ["y"], constants), tmp_path)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("sizes", [(8, 3, 2, 1), (8, 5, 2, 1), (16, 5, 3, 1), (33, 3, 3, 1)], ids=str)
def test_average_pool_of_incomplete_windows(sizes, include, tmp_path):
    """iree-org/iree#24580: windows past the edge were divided by the wrong number of values."""
    size, kernel, stride, pad = sizes
    window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "ceil_mode": 1}
    nodes = [NODE("AveragePool", ["x"], ["y"], count_include_pad=include, **window)]
    check(network(nodes, {"x": (1, 3, size, size)}, ["y"], {}, opset=19), tmp_path)


@pytest.mark.parametrize("scale", [2.0, 1.5, 3.0, 0.5])
@pytest.mark.parametrize("rule", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_nearest_resize_picks_the_pixel(scale, rule, tmp_path):
    """iree-org/iree#24264: half_pixel with floor read other pixels, and past the image."""
    sizes = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": rule}
    nodes = [NODE("Resize", ["x", "", "s"], ["y"], **sizes)]
    constants = {"s": np.array([1, 1, scale, scale], np.float32)}
    check(network(nodes, {"x": (1, 3, 8, 8)}, ["y"], constants), tmp_path)


@pytest.mark.parametrize("limits", [(-0.3, None), (None, 0.4), (None, None), (0.2, 0.9), (-0.9, -0.2)], ids=str)
def test_clip_may_lack_a_limit(limits, tmp_path):
    """microsoft/onnxruntime#5586: quantizing stopped at a Clip without attributes."""
    names = [("low", "high")[i] if v is not None else "" for i, v in enumerate(limits)]
    constants = {n: np.float32(v) for n, v in zip(names, limits, strict=True) if v is not None}
    nodes = [NODE("Conv", ["x", "w"], ["c"]), NODE("Clip", ["c", *names], ["y"])]
    check(network(nodes, {"x": (1, 3, 8, 8)}, ["y"], {"w": weights(5, 3, 1, 1), **constants}), tmp_path)


@pytest.mark.parametrize("ends", [("x", "y"), ("x", "c"), ("r", "y")], ids=str)
def test_concat_of_one(ends, tmp_path):
    """microsoft/onnxruntime#11242: a Concat with one input was quantized into an invalid model."""
    first, last = ends
    nodes = [NODE("Relu", ["x"], ["r"])] if first == "r" else []
    nodes += [NODE("Concat", [first], [last], axis=1)] + ([NODE("Tanh", ["c"], ["y"])] if last == "c" else [])
    check(network(nodes, {"x": (1, 3, 8, 8)}, ["y"], {}), tmp_path)


def test_focus_of_a_detector(tmp_path):
    """Tencent/ncnn#2100, Tencent/ncnn#6257: slices of every second pixel, put side by side as channels."""
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    nodes = [NODE("Slice", ["x", f"s{i}", "e", "axes", "two"], [f"f{i}"]) for i in range(4)]
    nodes += [NODE("Concat", [f"f{i}" for i in range(4)], ["c"], axis=1), NODE("Conv", ["c", "w"], ["y"], pads=[1] * 4)]
    constants = {f"s{i}": np.array(c) for i, c in enumerate(corners)}
    constants |= {"e": np.array([2**31 - 1] * 2), "axes": np.array([2, 3]), "two": np.array([2, 2])}
    check(network(nodes, {"x": (1, 3, 16, 16)}, ["y"], {**constants, "w": weights(16, 12, 3, 3)}), tmp_path, "--verify")


@pytest.mark.parametrize("size", [1, 10])
def test_one_probability(size, tmp_path):
    """majianjia/nnom#83: a single Sigmoid gave 0 where the float model gave 0.99."""
    nodes = [NODE("Gemm", ["x", "w", "b"], ["g"], transB=1), NODE("Sigmoid", ["g"], ["y"])]
    constants = {"w": size * weights(1, 16), "b": weights(1)}
    check(network(nodes, {"x": (1, 16)}, ["y"], constants), tmp_path, enough=25)


def test_a_kernel_of_the_size_of_the_image(tmp_path):
    """Tencent/ncnn#1717: a 4x5 kernel on a 4x5 image, one pixel out."""
    nodes = [NODE("Conv", ["x", "w", "b"], ["y"])]
    check(network(nodes, {"x": (1, 3, 4, 5)}, ["y"], {"w": weights(9, 3, 4, 5), "b": weights(9)}), tmp_path)


@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e-12])
def test_a_weight_channel_without_scale(scale, tmp_path):
    """NVIDIA/TensorRT#1826: calibration gave a dead channel scale 0; the model has its zeros, as integers too."""
    steps = np.full(6, 0.01, np.float32)
    steps[2] = scale
    w = np.random.default_rng(2).integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
    constants = {"w": w, "ws": steps, "xs": np.float32(0.0123), "ys": np.float32(0.0271), "zero": np.int8(0)}
    nodes = [
        NODE("QuantizeLinear", ["x", "xs", "zero"], ["xq"]),
        NODE("DequantizeLinear", ["xq", "xs", "zero"], ["xd"]),
        NODE("DequantizeLinear", ["w", "ws"], ["wd"], axis=0),
        NODE("Conv", ["xd", "wd"], ["c"], pads=[1, 1, 1, 1]),
        NODE("QuantizeLinear", ["c", "ys", "zero"], ["q"]),
        NODE("DequantizeLinear", ["q", "ys", "zero"], ["y"]),
    ]
    check(network(nodes, {"x": (1, 3, 8, 8)}, ["y"], constants), tmp_path, enough=50)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(("op", "shape", "axis"), [("ArgMax", (1, 10), 1), ("ArgMin", (1, 6, 5, 5), 1)])
def test_equal_values_give_the_asked_index(op, shape, axis, last, tmp_path):
    """webmachinelearning/webnn#652, ROCm/AMDMIGraphX#556: which of equal values an ArgMax names.

    Nothing but the model's input in front: the device has nothing to do, and its program is empty.
    """
    nodes = [NODE(op, ["x"], ["y"], axis=axis, select_last_index=last)]
    draw = {"x": lambda rng, s: rng.integers(-2, 3, s) / 2}
    check(network(nodes, {"x": shape}, ["y"], {}), tmp_path, draw=draw)


@pytest.mark.parametrize("op", ["Identity", "Dropout"])
def test_a_model_of_nothing_takes_calibration_data(op, tmp_path):
    """microsoft/onnxruntime#11242 again: with nothing left to compute the model is not a quantized one."""
    check(network([NODE(op, ["x"], ["y"])], {"x": (1, 3)}, ["y"], {}), tmp_path)


def test_a_policy_with_its_normalization(tmp_path):
    """Denys88/rl_games#226: units of their own, a clamp, actions, a constant deviation, a value."""
    mean, deviation = weights(29) * 3, np.abs(weights(29)) * 5 + np.float32(0.1)
    nodes = [
        NODE("Sub", ["obs", "mean"], ["d"]),
        NODE("Div", ["d", "std"], ["n"]),
        NODE("Clip", ["n", "low", "high"], ["c"]),
        NODE("Gemm", ["c", "w1", "b1"], ["h"]),
        NODE("Elu", ["h"], ["e"]),
        NODE("Gemm", ["e", "wm"], ["mu"]),
        NODE("Mul", ["mu", "none"], ["zero"]),
        NODE("Add", ["zero", "logstd"], ["sigma"]),
        NODE("Gemm", ["e", "wv"], ["v"]),
        NODE("Mul", ["v", "vs"], ["scaled"]),
        NODE("Add", ["scaled", "vm"], ["value"]),
    ]
    constants = {"mean": mean, "std": deviation, "low": np.float32(-5), "high": np.float32(5), "none": np.float32(0)}
    constants |= {"w1": weights(29, 64), "b1": weights(64), "wm": weights(64, 6), "wv": weights(64, 1)}
    constants |= {"logstd": weights(6), "vs": np.float32(120), "vm": np.float32(800)}
    draw = {"obs": lambda rng, s: mean + deviation * rng.uniform(-2, 2, s)}
    model = network(nodes, {"obs": (1, 29)}, ["mu", "sigma", "value"], constants)
    check(model, tmp_path, draw=draw, enough=27)


@pytest.mark.parametrize("op", ["Add", "Mul", "Max"])
def test_computed_values_that_spread(op, tmp_path, capsys):
    """Tencent/ncnn#2823: [2, 3, 4] with [2, 1, 4] gave NaN; here it is refused by name and runs on the host."""
    model = network([NODE(op, ["a", "b"], ["y"])], {"a": (2, 3, 4), "b": (2, 1, 4)}, ["y"], {})
    assert compiled(model, tmp_path) == 1
    said = capsys.readouterr().err
    assert f"{op} 'y'" in said and "[2, 3, 4] and [2, 1, 4]" in said and "--allow-host" in said
    assert not (tmp_path / "prog.bin").exists()


@pytest.mark.parametrize("rows", [(1, -1, 8), (-1, 8), (144, 8)], ids=str)
@pytest.mark.parametrize("transposed", [True, False], ids=["transpose, relu", "relu, transpose"])
@pytest.mark.parametrize("image", ["conv", "input"])
@pytest.mark.parametrize("beside", [False, True])
def test_an_image_as_rows_of_a_matrix(rows, transposed, image, beside, tmp_path):
    """Tencent/ncnn#4342: what a Reshape made of pixels x channels, in front of a MatMul, had another shape."""
    nodes = [NODE("Conv", ["x", "w"], ["c"])] if image == "conv" else []
    steps = [("Transpose", {"perm": [0, 2, 3, 1]}), ("Relu", {})] if transposed else [("Relu", {}), ("Transpose", {})]
    value = "c" if image == "conv" else "x"
    for index, (op, attributes) in enumerate(steps):
        attributes = {"perm": [0, 2, 3, 1]} if op == "Transpose" else attributes
        nodes.append(NODE(op, [value], [f"s{index}"], **attributes))
        value = f"s{index}"
    nodes += [NODE("Reshape", ["s1", "rows"], ["v"]), NODE("MatMul", ["v", "m"], ["y"])]
    nodes += [NODE("Sigmoid", ["s0"], ["z"])] if beside else []
    constants = {"w": weights(8, 8, 1, 1), "m": weights(8, 9), "rows": np.array(rows)}
    outputs = ["y", "z"] if beside else ["y"]
    check(network(nodes, {"x": (1, 8, 12, 12)}, outputs, constants), tmp_path)


def attention() -> onnx.ModelProto:
    """Image and state as tokens, one head of attention over them, an action in its own units."""
    nodes = [
        NODE("Conv", ["image", "w"], ["c"], strides=[4, 4]),
        NODE("Relu", ["c"], ["r"]),
        NODE("Reshape", ["r", "pixels"], ["flat"]),
        NODE("Transpose", ["flat"], ["patches"], perm=[0, 2, 1]),
        NODE("Sub", ["state", "mean"], ["centred"]),
        NODE("Div", ["centred", "std"], ["normal"]),
        NODE("MatMul", ["normal", "ws"], ["s"]),
        NODE("Reshape", ["s", "one"], ["token"]),
        NODE("Concat", ["token", "patches"], ["tokens"], axis=1),
        *(NODE("MatMul", ["tokens", f"w{n}"], [n]) for n in "qkv"),
        NODE("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        NODE("MatMul", ["q", "kt"], ["scores"]),
        NODE("Softmax", ["scores"], ["p"], axis=-1),
        NODE("MatMul", ["p", "v"], ["seen"]),
        NODE("Add", ["seen", "tokens"], ["sum"]),
        NODE("LayerNormalization", ["sum", "ones"], ["norm"], axis=-1),
        NODE("ReduceMean", ["norm"], ["mean_token"], axes=[1], keepdims=0),
        NODE("Gemm", ["mean_token", "wa"], ["a"]),
        NODE("Mul", ["a", "std"], ["spread"]),
        NODE("Add", ["spread", "mean"], ["action"]),
    ]
    constants: dict[str, Any] = {"w": weights(16, 3, 4, 4), "ws": weights(7, 16), "wa": weights(16, 7)}
    constants |= {"pixels": np.array([1, 16, 16]), "one": np.array([1, 1, 16]), "ones": np.ones(16, np.float32)}
    constants |= {"mean": weights(7), "std": np.linspace(0.2, 3, 7).astype(np.float32)}
    constants |= {f"w{n}": weights(16, 16)[:, np.roll(range(16), i)] for i, n in enumerate("qkv")}
    return network(nodes, {"image": (1, 3, 16, 16), "state": (1, 7)}, ["action", "p"], constants)


def test_a_policy_with_attention_on_the_host(tmp_path, capsys):
    """huggingface/lerobot#3146: a policy for edge devices, and that its outputs are those of the trained one."""
    assert compiled(attention(), tmp_path) == 1
    assert "MatMul 'scores'" in capsys.readouterr().err and not (tmp_path / "prog.bin").exists()
    check(attention(), tmp_path, "--allow-host", "--verify", enough=25)


def test_verify_where_the_device_hands_an_input_on(tmp_path):
    """A device partition whose output is a copy of its input, as the host reads what two parts share."""
    nodes = [
        NODE("Div", ["x", "k"], ["a"]),
        NODE("Conv", ["a", "w"], ["c"]),
        NODE("Neg", ["a"], ["n"]),
        NODE("LpNormalization", ["c"], ["l"], axis=1),
        NODE("Mul", ["n", "l"], ["m"]),
        NODE("Conv", ["m", "w"], ["y"]),
    ]
    constants = {"k": np.float32(2), "w": weights(4, 4, 1, 1)}
    check(network(nodes, {"x": (1, 4, 6, 6)}, ["y", "c"], constants), tmp_path, "--allow-host", "--verify", enough=25)
