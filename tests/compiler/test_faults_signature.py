"""Functions in front of the device, parts behind it, outputs and inputs without any layer: right as ONNX Runtime is.

The reference is always ONNX Runtime on the model as it was given, in float (or on a quantized model, as it is).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vla_isa import image, package
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.errors import CalibrationError, UnsupportedError
from vlac.passes import Compilation
from vlarun import Session, open_session
from vlarun.inputs import to_integers

Array = NDArray[np.generic]
FLOAT = TensorProto.FLOAT
N = helper.make_node


def normal(*shape: int, scale: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def info(name: str, shape: list[int], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def build(nodes, inputs, outputs, **constants) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def compiled(model: onnx.ModelProto, data: Mapping[str, Array] | None, tmp_path: Path, **options) -> Compilation:
    onnx.save(model, tmp_path / "m.onnx")
    return compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(calibration=data, **options))


def run(state: Compilation, data: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the program, through its file."""
    if state.package is not None:
        return open_session(package.loads(package.dumps(state.package))).run(data)
    return Session(image.loads(image.dumps(state.program))).run(data)


def reference(model: onnx.ModelProto, data: Mapping[str, Array]) -> dict[str, Array]:
    """ONNX Runtime on the model, sample by sample; the samples are on axis 0."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    shapes = {i.name: (tuple(i.shape), i.type) for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    runs = []
    for i in range(len(next(iter(data.values())))):
        runs.append(session.run(None, {n: data[n][i].reshape(shape) for n, (shape, _) in shapes.items()}))
    return {
        name: np.concatenate([r[k] for r in runs]) if runs[0][k].shape[:1] == (1,) else np.stack([r[k] for r in runs])
        for k, name in enumerate(names)
    }


def snr(wanted: Array, found: Array) -> float:
    assert wanted.shape == found.shape and wanted.dtype == found.dtype
    a, b = wanted.astype(np.float64), found.astype(np.float64)
    noise = ((a - b) ** 2).sum()
    return float("inf") if noise == 0 else 10 * np.log10((a**2).sum() / noise)


def check(model: onnx.ModelProto, data: Mapping[str, Array], tmp_path: Path, least: float = 30.0) -> Compilation:
    """Every output on the calibration data is `least` dB or better."""
    state = compiled(model, data, tmp_path)
    wanted, found = reference(model, data), run(state, data)
    assert list(found) == list(wanted)
    for name in wanted:
        assert snr(wanted[name], found[name]) >= least, (name, snr(wanted[name], found[name]))
    return state


# --- functions of an input --------------------------------------------------------------------------------


def policy(front: list[onnx.NodeProto], last: str, inputs=None, **constants) -> onnx.ModelProto:
    """Two layers behind the functions of an observation."""
    nodes = [
        *front,
        N("Gemm", [last, "w1", "b1"], ["h"]),
        N("Tanh", ["h"], ["t"]),
        N("Gemm", ["t", "w2", "b2"], ["y"]),
    ]
    weights = {"w1": normal(24, 64, scale=0.3), "b1": normal(64, scale=0.1)}
    weights |= {"w2": normal(64, 6, scale=0.2), "b2": normal(6, scale=0.1)}
    return build(nodes, inputs or [info("o", [1, 24])], [info("y", [1, 6])], **weights, **constants)


def units(low: float, high: float) -> NDArray[np.float32]:
    return (10 ** np.random.default_rng(3).uniform(low, high, 24)).astype(np.float32)


LOW, HIGH = np.float32(-5), np.float32(5)
FRONTS: dict[str, Callable[[NDArray[np.float32]], tuple[list[onnx.NodeProto], str, dict[str, Array]]]] = {
    "sub, div, clip": lambda std: (
        [N("Sub", ["o", "m"], ["a"]), N("Div", ["a", "s"], ["c"]), N("Clip", ["c", "lo", "hi"], ["d"])],
        "d",
        {"m": std * np.float32(0.5), "s": std, "lo": LOW, "hi": HIGH},
    ),
    "mul, add": lambda std: (
        [N("Mul", ["k", "o"], ["a"]), N("Add", ["a", "c"], ["d"])],
        "d",
        {"k": (1 / std).reshape(1, 24), "c": normal(24, scale=0.1)},
    ),
    "batch normalization": lambda std: (
        [N("BatchNormalization", ["o", "g", "c", "m", "v"], ["d"])],
        "d",
        {"g": np.ones(24, np.float32), "c": np.zeros(24, np.float32), "m": std * np.float32(0.1), "v": std**2},
    ),
    "with a view and a function of their own": lambda std: (
        [
            N("Reshape", ["o", "grid"], ["a"]),
            N("Mul", ["a", "k"], ["c"]),
            N("Sigmoid", ["c"], ["e"]),
            N("Mul", ["c", "e"], ["f"]),
            N("Reshape", ["f", "row"], ["d"]),
        ],
        "d",
        {"grid": np.array([1, 4, 6]), "row": np.array([1, 24]), "k": (1 / std).reshape(1, 4, 6)},
    ),
    "in front of a function that only the device has": lambda std: (
        [N("Div", ["o", "s"], ["c"]), N("Elu", ["c"], ["d"])],
        "d",
        {"s": std},
    ),
}


@pytest.mark.parametrize("spread", [(0, 0), (-0.5, 0.5), (-1, 1), (-1.5, 1), (-3, 2)], ids=str)
@pytest.mark.parametrize("form", FRONTS)
def test_an_observation_in_mixed_units(form: str, spread: tuple[float, float], tmp_path: Path) -> None:
    std = units(*spread)
    front, last, constants = FRONTS[form](std)
    check(policy(front, last, **constants), {"o": normal(200, 24, seed=1) * std}, tmp_path, 32.5)


def test_two_observations_that_are_joined_and_normalized(tmp_path: Path) -> None:
    std = np.concatenate([np.full(12, 1000, np.float32), np.full(12, 1e-3, np.float32)])
    front = [N("Concat", ["p", "v"], ["o"], axis=1), N("Div", ["o", "s"], ["d"])]
    model = policy(front, "d", [info("p", [1, 12]), info("v", [1, 12])], s=std)
    data = normal(100, 24, seed=1) * std
    check(model, {"p": data[:, :12], "v": data[:, 12:]}, tmp_path, 32.5)


@pytest.mark.parametrize(("function", "extra"), [("Clip", ["lo", "hi"]), ("Tanh", []), ("Min", ["hi"]), ("Relu", [])])
def test_a_function_that_bounds_an_input_with_outliers(function: str, extra: list[str], tmp_path: Path) -> None:
    x = normal(50, 24, seed=1)
    x[:, ::5] = np.sign(x[:, ::5]) * (-300 if function in ("Min", "Relu") else 300)
    if function in ("Min", "Relu"):
        x[:, ::5] = -300 if function == "Relu" else 300
    constants = {n: np.float32(v) for n, v in (("lo", -1), ("hi", 1)) if n in extra}
    front = [N(function, ["o", *extra], ["d"])]
    if function == "Min":
        front.append(N("Max", ["d", "floor"], ["e"]))
        constants["floor"] = np.float32(-2)
    check(policy(front, front[-1].output[0], **constants), {"o": x}, tmp_path, 32.5)


def test_a_chain_that_the_device_ends_is_not_cut(tmp_path: Path) -> None:
    """x / sqrt(2) in front of Erf: one table of 256 entries is better than two roundings."""
    nodes = [
        N("Div", ["o", "r"], ["a"]),
        N("Erf", ["a"], ["b"]),
        N("Add", ["b", "one"], ["c"]),
        N("Mul", ["o", "c"], ["e"]),
        N("Mul", ["e", "half"], ["d"]),
    ]
    constants = {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    state = check(policy(nodes, "d", **constants), {"o": normal(100, 24, seed=1)}, tmp_path, 32.5)
    assert [t.name for t in state.program.inputs] == ["o"] and state.program.model.steps(0) == []


def camera(front: list[onnx.NodeProto], last: str, shape: list[int], kind: int, **constants: Array) -> onnx.ModelProto:
    nodes = [*front, N("Conv", [last, "w"], ["y"], pads=[1, 1, 1, 1])]
    return build(nodes, [info("x", shape, kind)], [info("y", [1, 16, 10, 10])], w=normal(16, 3, 3, 3), **constants)


MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
PER_CHANNEL = {"k": np.float32(255), "m": MEAN.reshape(3, 1, 1), "s": STD.reshape(3, 1, 1)}
LAST_AXIS = {"k": np.float32(255), "m": MEAN, "s": STD}


def pixels(*shape: int, dtype: type = np.uint8) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def steps(*operators: tuple[str, list[str]]) -> tuple[list[onnx.NodeProto], str]:
    """A chain of nodes from x, each with its further inputs."""
    nodes, value = [], "x"
    for number, (operator, extra) in enumerate(operators):
        attributes = {"to": FLOAT} if operator == "Cast" else {"perm": [0, 3, 1, 2]} if operator == "Transpose" else {}
        nodes.append(N(operator, [value, *extra], [f"v{number}"], **attributes))
        value = f"v{number}"
    return nodes, value


CAST, SCALE, SUB, DIV, TURN = ("Cast", []), ("Div", ["k"]), ("Sub", ["m"]), ("Div", ["s"]), ("Transpose", [])
IMAGES = {
    "planes": ([CAST, SCALE, SUB, DIV], [1, 3, 10, 10], PER_CHANNEL),
    "turned first": ([TURN, CAST, SCALE, SUB, DIV], [1, 10, 10, 3], PER_CHANNEL),
    "turned in between": ([CAST, SCALE, TURN, SUB, DIV], [1, 10, 10, 3], PER_CHANNEL),
    "turned last": ([CAST, SCALE, SUB, DIV, TURN], [1, 10, 10, 3], LAST_AXIS),
    "only scaled": ([CAST, SCALE], [1, 3, 10, 10], {"k": np.float32(255)}),
    "not even that": ([CAST], [1, 3, 10, 10], {}),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float16, np.float64])
@pytest.mark.parametrize("form", IMAGES)
def test_an_image_with_its_preprocessing(form: str, dtype: type, tmp_path: Path) -> None:
    operators, shape, constants = IMAGES[form]
    front, last = steps(*operators)
    model = camera(front, last, shape, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), **constants)
    check(model, {"x": pixels(4, *shape[1:], dtype=dtype)}, tmp_path, 36)


def test_the_pixel_itself_is_what_the_device_takes(tmp_path: Path) -> None:
    front, last = steps(CAST, SCALE)
    data = {"x": pixels(4, 3, 10, 10)}
    model = camera(front, last, [1, 3, 10, 10], TensorProto.UINT8, k=np.float32(255))
    state = compiled(model, {"x": data["x"] // 2}, tmp_path)  # also where no white was seen
    (found,) = to_integers(state.program, {"x": data["x"][:1]}).values()
    np.testing.assert_array_equal(found, data["x"][:1].astype(np.int16) - 128)


def test_a_crop_and_a_change_of_channels_between(tmp_path: Path) -> None:
    nodes = [
        N("Cast", ["x"], ["a"], to=FLOAT),
        N("Slice", ["a", "from", "to", "axes"], ["b"]),
        N("Gather", ["b", "bgr"], ["c"], axis=1),
        N("Mul", ["c", "k"], ["d"]),
    ]
    constants = {
        "from": np.array([1, 2]),
        "to": np.array([11, 12]),
        "axes": np.array([2, 3]),
        "bgr": np.array([2, 1, 0]),
    }
    scale = np.array([1 / 255, 1 / 25, 1 / 2.5], np.float32).reshape(3, 1, 1)
    model = camera(nodes, "d", [1, 3, 13, 14], TensorProto.UINT8, k=scale, **constants)
    check(model, {"x": pixels(4, 3, 13, 14)}, tmp_path, 36)


def test_an_input_that_is_read_as_it_is_too(tmp_path: Path) -> None:
    std = units(-2, 2)
    nodes = [
        N("Div", ["o", "s"], ["d"]),
        N("Gemm", ["d", "w"], ["y"]),
        N("Gemm", ["o", "w"], ["z"]),
    ]
    outputs = [info("y", [1, 8]), info("z", [1, 8])]
    check(build(nodes, [info("o", [1, 24])], outputs, s=std, w=normal(24, 8)), {"o": normal(80, 24) * std}, tmp_path)


def test_truth_values_as_an_input(tmp_path: Path) -> None:
    nodes = [N("Cast", ["mask"], ["a"], to=FLOAT), N("Mul", ["o", "a"], ["d"])]
    model = policy(nodes, "d", [info("o", [1, 24]), info("mask", [1, 24], TensorProto.BOOL)])
    data = {"o": normal(100, 24, seed=1), "mask": normal(100, 24, seed=2) > 0}
    check(model, data, tmp_path, 32)


def test_a_quantized_model_with_float_functions_in_front(tmp_path: Path) -> None:
    """Integer by integer as ONNX Runtime has it."""
    rng = np.random.default_rng(0)
    nodes = [
        N("Cast", ["x"], ["a"], to=FLOAT),
        N("Transpose", ["a"], ["b"], perm=[0, 3, 1, 2]),
        N("Sub", ["b", "m"], ["c"]),
        N("Div", ["c", "s"], ["d"]),
        N("QuantizeLinear", ["d", "xs", "xz"], ["q"]),
        N("DequantizeLinear", ["q", "xs", "xz"], ["r"]),
        N("DequantizeLinear", ["wq", "ws", "wz"], ["w"]),
        N("Conv", ["r", "w"], ["e"]),
        N("QuantizeLinear", ["e", "ys", "yz"], ["y"]),
    ]
    model = build(
        nodes,
        [info("x", [1, 12, 12, 3], TensorProto.UINT8)],
        [info("y", [1, 8, 10, 10], TensorProto.UINT8)],
        m=(MEAN * 255).reshape(3, 1, 1),
        s=(STD * 255).reshape(3, 1, 1),
        xs=np.float32(0.0187),
        xz=np.uint8(114),
        ys=np.float32(0.05),
        yz=np.uint8(120),
        wq=rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
        ws=np.float32(0.004),
        wz=np.int8(0),
    )
    data = {"x": pixels(4, 12, 12, 3)}
    wanted, found = reference(model, data)["y"], run(compiled(model, None, tmp_path), data)["y"]
    assert found.dtype == np.uint8
    difference = np.abs(wanted.astype(int) - found)
    assert difference.max() <= 1 and (difference > 0).mean() <= 1e-3


def test_token_ids_are_not_silently_taken(tmp_path: Path) -> None:
    nodes = [N("Gather", ["table", "ids"], ["a"]), N("Gemm", ["a", "w"], ["y"])]
    model = build(nodes, [info("ids", [4], TensorProto.INT64)], [info("y", [4, 8])], table=normal(9, 6), w=normal(6, 8))
    with pytest.raises(UnsupportedError, match=r"Gather '.*' cannot run .* computed input 1 'ids'"):
        compiled(model, "random:2", tmp_path)


# --- outputs made of parts --------------------------------------------------------------------------------


def detector(behind: list[onnx.NodeProto], shape: list[int], **constants: Array) -> onnx.ModelProto:
    """Boxes in pixels [1, 4, 8, 8] and scores [1, 10, 8, 8]; `behind` makes y of them."""
    nodes = [
        N("Conv", ["x", "wb"], ["b0"]),
        N("Relu", ["b0"], ["b1"]),
        N("Mul", ["b1", "st"], ["box"]),
        N("Conv", ["x", "wc"], ["c0"]),
        N("Sigmoid", ["c0"], ["score"]),
        *behind,
    ]
    weights = {"wb": normal(4, 16, 1, 1), "wc": normal(10, 16, 1, 1, scale=0.5, seed=1), "st": np.float32(32)}
    return build(nodes, [info("x", [1, 16, 8, 8])], [info("y", shape)], **weights, **constants)


ROWS = {"b": np.array([1, 4, 64]), "c": np.array([1, 10, 64])}
FLAT = [N("Reshape", ["box", "b"], ["bf"]), N("Reshape", ["score", "c"], ["cf"])]
TAILS = {
    "concat": ([N("Concat", ["box", "score"], ["y"], axis=1)], [1, 14, 8, 8], {}, 1),
    "reshaped, joined, turned": (
        [*FLAT, N("Concat", ["bf", "cf"], ["j"], axis=1), N("Transpose", ["j"], ["y"], perm=[0, 2, 1])],
        [1, 64, 14],
        ROWS,
        2,
    ),
    "joined twice": (
        [
            *FLAT,
            N("Slice", ["cf", "zero", "five", "one"], ["first"]),
            N("Slice", ["cf", "five", "ten", "one"], ["second"]),
            N("Concat", ["first", "bf"], ["inner"], axis=1),
            N("Unsqueeze", ["inner", "last"], ["in2"]),
            N("Unsqueeze", ["second", "last"], ["se2"]),
            N("Concat", ["in2", "se2"], ["j"], axis=1),
            N("Squeeze", ["j", "last"], ["k"]),
            N("Split", ["k"], ["p", "q"], axis=2),
            N("Concat", ["q", "p"], ["y"], axis=2),
        ],
        [1, 14, 64],
        {
            **ROWS,
            "zero": np.array([0]),
            "five": np.array([5]),
            "ten": np.array([10]),
            "one": np.array([1]),
            "last": np.array([3]),
        },
        1,
    ),
    "softmax in one part": (
        [*FLAT, N("Softmax", ["cf"], ["sm"], axis=1), N("Concat", ["bf", "sm"], ["y"], axis=1)],
        [1, 14, 64],
        ROWS,
        1,
    ),
    "scaled behind": (
        [*FLAT, N("Concat", ["bf", "cf"], ["j"], axis=1), N("Mul", ["j", "k"], ["y"])],
        [1, 14, 64],
        {**ROWS, "k": np.array([8] * 4 + [1e-3] * 10, np.float32).reshape(1, 14, 1)},
        1,
    ),
}


@pytest.mark.parametrize("name", TAILS)
def test_parts_of_an_output_keep_their_scales(name: str, tmp_path: Path) -> None:
    behind, shape, constants, axis = TAILS[name]
    model, data = detector(behind, shape, **constants), {"x": np.abs(normal(8, 16, 8, 8))}
    state = check(model, data, tmp_path, 40)
    wanted, found = reference(model, data)["y"], run(state, data)["y"]
    for channel in range(14):  # the sizes of boxes must not hide what becomes of scores
        a, b = np.take(wanted, channel, axis), np.take(found, channel, axis)
        assert snr(a, b) >= 25, channel


def test_raw_parts_are_assembled(tmp_path: Path) -> None:
    data = {"x": np.abs(normal(1, 16, 8, 8))}
    behind, shape, constants, _ = TAILS["reshaped, joined, turned"]
    program = compiled(detector(behind, shape, **constants), data, tmp_path).program
    session = Session(program)
    raw, real = session.run(data, raw=True)["y"], session.run(data)["y"]
    assert raw.dtype == np.int8 and raw.shape == tuple(shape)
    for columns, tensor in ((slice(0, 4), program.outputs[0]), (slice(4, 14), program.outputs[1])):
        part = (raw[..., columns].astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)
        np.testing.assert_array_equal(part, real[..., columns])


def test_a_constant_and_an_input_as_parts(tmp_path: Path) -> None:
    nodes = [N("Gemm", ["x", "w"], ["a"]), N("Concat", ["a", "anchors", "x"], ["y"], axis=1)]
    model = build(
        nodes, [info("x", [1, 8])], [info("y", [1, 17])], w=normal(8, 6), anchors=np.array([[1e6, 2, 3]], np.float32)
    )
    data = {"x": normal(20, 8, scale=1e-3)}
    found = run(check(model, data, tmp_path), data)["y"]
    np.testing.assert_array_equal(found[:, 6:9], np.broadcast_to([[1e6, 2, 3]], (20, 3)).astype(np.float32))
    np.testing.assert_array_equal(found[:, 9:], data["x"])


@pytest.mark.parametrize("sizes", [(52,), (52, 26, 13), (26, 13)], ids=str)
def test_detection_heads_of_several_scales(sizes: tuple[int, ...], tmp_path: Path) -> None:
    nodes, inputs, constants = [], [], {}
    for i, size in enumerate(sizes):
        inputs.append(info(f"p{i}", [1, 8, size, size]))
        constants |= {f"w{i}": normal(6, 8, 1, 1, scale=10.0**i, seed=i), f"s{i}": np.array([1, 6, size * size])}
        nodes += [N("Conv", [f"p{i}", f"w{i}"], [f"c{i}"]), N("Reshape", [f"c{i}", f"s{i}"], [f"r{i}"])]
    nodes += [N("Concat", [f"r{i}" for i in range(len(sizes))], ["k"], axis=2)]
    nodes += [N("Transpose", ["k"], ["y"], perm=[0, 2, 1])]
    model = build(nodes, inputs, [info("y", [1, sum(s * s for s in sizes), 6])], **constants)
    data = {f"p{i}": normal(2, 8, s, s, seed=9) for i, s in enumerate(sizes)}
    state = check(model, data, tmp_path, 35)
    wanted, found = reference(model, data)["y"], run(state, data)["y"]
    ends = np.cumsum([0, *(s * s for s in sizes)])
    for a, b in itertools.pairwise(ends):
        assert snr(wanted[:, a:b], found[:, a:b]) >= 35


def test_a_concat_that_the_device_reads_stays_on_it(tmp_path: Path) -> None:
    behind = [N("Concat", ["box", "score"], ["j"], axis=1), N("Conv", ["j", "w"], ["y"])]
    model = detector(behind, [1, 5, 8, 8], w=normal(5, 14, 1, 1))
    state = check(model, {"x": np.abs(normal(8, 16, 8, 8))}, tmp_path, 30)
    assert len(state.program.outputs) == 1


# --- outputs and inputs without a layer -------------------------------------------------------------------


@pytest.mark.parametrize("allow_host", [False, True])
def test_outputs_that_need_no_computing(allow_host: bool, tmp_path: Path) -> None:
    nodes = [
        N("Constant", [], ["version"], value=numpy_helper.from_array(np.array(7, np.int64))),
        N("Shape", ["x"], ["shape"]),
        N("Identity", ["state"], ["same"]),
        N("Conv", ["x", "w"], ["y"]),
    ]
    if allow_host:
        nodes[-1:] = [N("Conv", ["x", "w"], ["c"]), N("CumSum", ["c", "axis"], ["y"])]
    outputs = [
        info("version", [], TensorProto.INT64),
        info("state", [2, 1, 4]),
        info("y", [1, 4, 4, 4]),
        info("anchors", [3]),
        info("shape", [4], TensorProto.INT64),
        info("same", [2, 1, 4]),
    ]
    constants = {"w": normal(4, 8, 3, 3), "anchors": np.array([1e-30, 5.5, -7], np.float32)}
    if allow_host:
        constants["axis"] = np.array(1, np.int64)
    model = build(nodes, [info("x", [1, 8, 6, 6]), info("state", [2, 1, 4])], outputs, **constants)
    data = {"x": normal(4, 8, 6, 6), "state": normal(4, 2, 1, 4)}
    state = compiled(model, data, tmp_path, allow_host=allow_host)
    assert (state.package is not None) == allow_host
    wanted, found = reference(model, data), run(state, data)
    assert list(found) == list(wanted)
    assert snr(wanted["y"], found["y"]) >= 30
    for name in ("version", "state", "anchors", "shape", "same"):
        np.testing.assert_array_equal(found[name], wanted[name])
        assert found[name].dtype == wanted[name].dtype


def test_an_integer_input_as_an_output(tmp_path: Path) -> None:
    nodes = [N("Conv", ["x", "w"], ["y"]), N("Identity", ["step"], ["now"])]
    inputs = [info("x", [1, 8, 6, 6]), info("step", [1], TensorProto.INT64)]
    model = build(nodes, inputs, [info("y", [1, 4, 4, 4]), info("now", [1], TensorProto.INT64)], w=normal(4, 8, 3, 3))
    data = {"x": normal(3, 8, 6, 6), "step": np.array([[5], [2**60], [-1]])}
    found = run(compiled(model, data, tmp_path), data)
    np.testing.assert_array_equal(found["now"].reshape(-1), [5, 2**60, -1])


def test_a_model_of_such_outputs_only(tmp_path: Path) -> None:
    nodes = [N("Identity", ["x"], ["y"]), N("Shape", ["x"], ["z"])]
    model = build(nodes, [info("x", [1, 8])], [info("y", [1, 8]), info("z", [2], TensorProto.INT64)])
    data = {"x": normal(3, 8)}
    state = check(model, data, tmp_path, np.inf)
    assert state.program.inputs == [] and state.program.outputs == []


@pytest.mark.parametrize("given", [True, False])
def test_an_input_that_nothing_reads(given: bool, tmp_path: Path) -> None:
    inputs = [info("x", [1, 8, 6, 6]), info("unused", [1, 3], TensorProto.INT64)]
    model = build([N("Conv", ["x", "w"], ["y"])], inputs, [info("y", [1, 4, 4, 4])], w=normal(4, 8, 3, 3))
    data = {"x": normal(4, 8, 6, 6), "unused": np.zeros((4, 3), np.int64)}
    fed = data if given else {"x": data["x"]}
    state = compiled(model, fed, tmp_path)
    assert snr(reference(model, data)["y"], run(state, fed)["y"]) >= 30
    assert [v.name for v in state.program.model_inputs] == ["x", "unused"]


def test_state_whose_first_axis_is_no_batch(tmp_path: Path) -> None:
    nodes = [N("Relu", ["x"], ["r"]), N("Add", ["r", "s"], ["y"])]
    model = build(nodes, [info("x", [2, 1, 16]), info("s", [2, 1, 16])], [info("y", [2, 1, 16])])
    check(model, {"x": normal(5, 2, 1, 16), "s": normal(5, 2, 1, 16, seed=1)}, tmp_path)


@pytest.mark.parametrize("size", [1e22, 1e30, 3e38])
def test_calibration_that_no_scale_holds_is_refused(size: float, tmp_path: Path) -> None:
    nodes = [N("Conv", ["x", "w"], ["c"]), N("Relu", ["c"], ["y"])]
    model = build(nodes, [info("x", [1, 8, 6, 6])], [info("y", [1, 4, 4, 4])], w=normal(4, 8, 3, 3))
    data = {"x": np.clip(normal(4, 8, 6, 6), -1, 1) * np.float32(size)}
    with pytest.raises(CalibrationError, match=r"input 'x' holds .*; the limit is 5.86e\+20"):
        compiled(model, data, tmp_path)


def test_a_layer_whose_result_no_scale_holds_is_refused(tmp_path: Path) -> None:
    nodes = [N("Conv", ["x", "w"], ["c"]), N("Relu", ["c"], ["y"])]
    weights = normal(4, 8, 3, 3) * np.float32(1e25)
    model = build(nodes, [info("x", [1, 8, 6, 6])], [info("y", [1, 4, 4, 4])], w=weights)
    with pytest.raises(UnsupportedError, match=r"its scale is .*, not a positive number up to 4.61e\+18"):
        compiled(model, {"x": normal(4, 8, 6, 6)}, tmp_path)
