"""Outputs made of parts, outputs and inputs without any layer: right as ONNX Runtime is."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from signature_models import Array, N, build, check, compiled, info, normal, reference, run, snr

from vlac.errors import CalibrationError, UnsupportedError
from vlarun import Session

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
