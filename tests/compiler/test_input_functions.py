"""Functions of an input in front of the device: right as ONNX Runtime is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from signature_models import FLOAT, Array, N, build, check, compiled, info, normal, reference, run

from vla_toolchain.verify.reference import exact_reference
from vlarun.inputs import to_integers

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


@pytest.mark.skipif(not exact_reference(), reason="ONNX Runtime's int8 convolution is exact only on CPUs with VNNI")
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


def test_token_ids_choose_rows(tmp_path: Path) -> None:
    """Every id is its row of the table, the first and the last among them."""
    nodes = [N("Gather", ["table", "ids"], ["a"]), N("Gemm", ["a", "w"], ["y"])]
    model = build(nodes, [info("ids", [4], TensorProto.INT64)], [info("y", [4, 8])], table=normal(9, 6), w=normal(6, 8))
    check(model, {"ids": np.arange(36, dtype=np.int64).reshape(9, 4) % 9}, tmp_path)
