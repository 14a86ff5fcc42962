"""Each step towards the form that the compiler reads, alone: what it changes, and the same numbers in ONNX Runtime."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rewritten import ops, rewritten

from vlac.quantize.dialects.clipped import unclip
from vlac.quantize.dialects.constants import fold_constants
from vlac.quantize.dialects.weight_only import dequantize_weights

RNG = np.random.default_rng(0)
X = "float[2,3] x"


def array(found, node, index, number=0):
    """Constant input of the `number`-th node of a type."""
    return [n for n in found.graph if n.op_type == node][number].inputs[index].const_value.numpy()


# --- Clip of integers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "zero", "bounds", "reals"),
    [
        (0.5, np.int8(3), (-7, 7), (-5, 2)),
        (np.float32([0.5]), np.int8([3]), (-7, 7), (-5, 2)),
        (0.25, None, (10, 200), (2.5, 50)),
        (2, np.uint8(4), (None, 9), (None, 10)),
        (2, np.uint8(4), (1, None), (-6, None)),
    ],
)
def test_a_clip_of_integers_is_one_of_real_numbers(scale, zero, bounds, reals):
    kind = np.uint8 if zero is None else zero.dtype
    arrays = {"s": np.float32(scale)} | ({} if zero is None else {"z": zero})
    arrays |= {n: np.array(b, kind) for n, b in zip(("low", "high"), bounds, strict=True) if b is not None}
    z = "" if zero is None else ", z"
    low, high = ("low" if bounds[0] is not None else ""), (", high" if bounds[1] is not None else "")
    body = f"q = QuantizeLinear(x, s{z}) c = Clip(q, {low}{high}) y = DequantizeLinear(c, s{z})"
    found = rewritten(unclip, body, X, constants=arrays)
    assert ops(found) == ["Clip", "QuantizeLinear", "DequantizeLinear"]
    clip = found.graph.node(0)
    given = [
        None if i >= len(clip.inputs) or clip.inputs[i] is None else clip.inputs[i].const_value.numpy() for i in (1, 2)
    ]
    assert given == list(reals) and all(a.dtype == np.float32 for a in given if a is not None)


def test_integers_that_are_read_elsewhere_stay():
    arrays = {"s": np.float32(0.5), "z": np.int8(0), "low": np.int8(-3), "high": np.int8(3)}
    body = (
        "q = QuantizeLinear(x, s, z) c = Clip(q, low, high) y = DequantizeLinear(c, s, z) u = DequantizeLinear(q, s, z)"
    )
    assert ops(rewritten(unclip, body, X, "y, u", constants=arrays)).count("QuantizeLinear") == 2
    body = "q = QuantizeLinear(x, s, z) c = Clip(q, low, high) y = DequantizeLinear(c, s, z)"
    assert ops(rewritten(unclip, body, X, "y, int8[2,3] q", constants=arrays)).count("QuantizeLinear") == 2


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ("y = Clip(x, a, b)", X),
        ("h = Relu(x) y = Clip(h, a, b)", X),
        ("q = QuantizeLinear(x, s, z) c = Clip(q, low, high) y = DequantizeLinear(c, s, z)", X),
        ("q = QuantizeLinear(x, t) c = Clip(q, lo, hi) y = DequantizeLinear(c, t)", X + ", float t"),
    ],
)
def test_other_clips_stay(body, inputs):
    """Of real numbers, of a scale for each channel, of a computed scale."""
    arrays = {"s": np.float32([1, 2, 3]), "z": np.int8([0, 0, 0]), "low": np.int8(-3), "high": np.int8(3),
              "a": np.float32(-1), "b": np.float32(1), "lo": np.uint8(3), "hi": np.uint8(9)}  # fmt: skip
    found = rewritten(unclip, body, inputs, constants=arrays)
    assert ops(found) == [part.split("(")[0] for part in body.split() if "(" in part]


# --- constants --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "zero", "axis"), [
    (0.5, None, 1), (0.5, np.int8(3), 1), (np.float32([0.5]), np.int8([-2]), 1), (np.float32([0.5, 0.01]), None, 0),
    (np.float32([0.5, 0.01]), np.int8([3, -9]), 0), (np.float32([0.5, 0.01]), np.int8([3, -9]), -2),
    (np.float32([1, 0.1, 0.01]), np.int8([1, 2, 3]), None), (np.float32([1, 0.1, 0.01]), np.uint8([1, 2, 3]), 1),
])  # fmt: skip
def test_integers_of_a_constant(scale, zero, axis):
    """Two rows of three, some beyond the type and some half way between two integers."""
    arrays = {"s": np.float32(scale), "c": np.float32([[0.25, -0.75, 99], [3, 1.25, -99]])}
    arrays |= {} if zero is None else {"z": zero}
    z, attribute = ("" if zero is None else ", z"), ("" if axis is None else f"<axis = {axis}>")
    body = f"q = QuantizeLinear {attribute} (c, s{z}) d = DequantizeLinear {attribute} (q, s{z}) y = Add(x, d)"
    found = rewritten(fold_constants, body, X, constants=arrays)
    assert ops(found) == ["DequantizeLinear", "Add"]
    assert array(found, "DequantizeLinear", 0).dtype == (np.uint8 if zero is None else zero.dtype)


@pytest.mark.parametrize("axis", [0, -1])
def test_integers_of_a_row(axis):
    arrays = {"s": np.float32([1, 0.5, 2]), "c": np.float32([3, 4, 5])}
    body = f"q = QuantizeLinear <axis = {axis}> (c, s) d = DequantizeLinear <axis = {axis}> (q, s) y = Add(x, d)"
    found = rewritten(fold_constants, body, X, constants=arrays)
    assert array(found, "DequantizeLinear", 0).tolist() == [3, 8, 2]


def test_integers_of_a_number():
    arrays = {"s": np.float32(0.5), "c": np.float32(4)}
    found = rewritten(
        fold_constants, "q = QuantizeLinear(c, s) d = DequantizeLinear(q, s) y = Add(x, d)", X, constants=arrays
    )
    assert array(found, "DequantizeLinear", 0) == 8


@pytest.mark.parametrize(("bounds", "expected"), [
    (("low", "high"), [-3, 0, 5, 5]), (("low", None), [-3, 0, 5, 100]), ((None, "high"), [-100, 0, 5, 5])
])  # fmt: skip
def test_a_clip_of_constant_integers(bounds, expected):
    given = (bounds[0] or "") + (f", {bounds[1]}" if bounds[1] else "")
    arrays = {"c": np.int8([-100, 0, 5, 100]), "low": np.int8(-3), "high": np.int8(5), "s": np.float32(1)}
    found = rewritten(
        fold_constants, f"q = Clip(c, {given}) d = DequantizeLinear(q, s) y = Add(x, d)", "float[4] x", constants=arrays
    )
    assert ops(found) == ["DequantizeLinear", "Add"] and array(found, "DequantizeLinear", 0).tolist() == expected


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)", "y"),
        ("c1 = Clip(c, low, high) y = Add(x, c1)", "y"),
        ("q = QuantizeLinear(c, s, z) d = DequantizeLinear(q, s, z) y = Add(x, d)", "y, int8[2,3] q"),
        ("d = DequantizeLinear(i, s, z) t = Flatten(d) y = Add(x, t)", "y, float[2,3] t"),
        ("q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Transpose(d)", "y"),
        ("t = Identity(c) y = Add(x, t)", "y"),
        ("y = Transpose(x)", "y"),
    ],
)
def test_other_constants_stay(body, outputs):
    arrays = {"s": np.float32(0.5), "z": np.int8(1), "c": np.ones((2, 3), np.float32), "i": np.ones((2, 3), np.int8)}
    arrays |= {"low": np.float32(-1), "high": np.float32(1)}
    found = rewritten(fold_constants, body, X, outputs, constants=arrays)
    assert ops(found) == [part.split("(")[0] for part in body.split() if "(" in part]


@pytest.mark.parametrize(("kind", "wide"), [("INT4", np.int8), ("UINT4", np.uint8)])
def test_integers_of_four_bits(kind, wide):
    tensor = getattr(TensorProto, kind)
    low = -8 if wide is np.int8 else 0
    arrays = {"s": np.float32(0.5)}
    source = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[2,3] x) => (float[2,3] y) '
        "{ d = DequantizeLinear(q, s, z) y = Add(x, d) }"
    )
    source.graph.initializer.extend([
        helper.make_tensor("q", tensor, [2, 3], range(low, low + 6)), helper.make_tensor("z", tensor, [], [low + 2]),
        numpy_helper.from_array(arrays["s"], "s"),
    ])  # fmt: skip
    import onnx_ir as ir

    model = ir.from_proto(onnx.shape_inference.infer_shapes(source))
    fold_constants(model)
    q, z = (model.graph.node(0).inputs[i].const_value.numpy() for i in (0, 2))
    assert q.dtype == z.dtype == wide and q.reshape(-1).tolist() == list(range(low, low + 6)) and z == low + 2


@pytest.mark.parametrize(
    ("view", "q", "axis", "expected"),
    [
        ("Transpose", (2, 3), 0, ((3, 2), 1)),
        ("Transpose", (2, 3), None, ((3, 2), None)),
        ("Transpose <perm = [1, 2, 0]>", (2, 3, 4), 1, ((3, 4, 2), 0)),
        ("Transpose <perm = [1, 2, 0]>", (2, 3, 4), -1, ((3, 4, 2), 1)),
        ("Transpose", (2, 3, 4), 2, ((4, 3, 2), 0)),
        ("Transpose", (3, 2, 1), 1, ((1, 2, 3), 1)),
        ("Flatten", (2, 3, 4), 0, ((2, 12), 0)),
        ("Flatten <axis = 2>", (2, 3, 4), 2, ((6, 4), 1)),
        ("Flatten <axis = 2>", (1, 3, 4), 1, ((3, 4), 0)),
        ("Flatten", (2, 3, 4), 1, None),  # no axis is left of it
        ("Flatten", (2, 3, 4), None, ((2, 12), None)),
        ("Identity", (2, 3), 1, ((2, 3), 1)),
        ("Flatten", (2,), 0, ((2, 1), 0)),
        ("Transpose", (2,), 0, ((2,), 0)),
        ("Transpose", (2,), -1, ((2,), 0)),
        ("Identity", (), None, ((), None)),
    ],
    ids=str,
)
def test_views_of_weights(view, q, axis, expected):
    """They become views of the integers; a scale for each index goes along with its axis."""
    n = 1 if axis is None else q[axis]
    arrays = {"q": RNG.integers(-99, 99, q).astype(np.int8), "s": np.linspace(0.5, 1, n, dtype=np.float32)}
    arrays["z"] = np.arange(n, dtype=np.int8)
    if axis is None:
        arrays |= {"s": arrays["s"].reshape(()), "z": arrays["z"].reshape(())}
    attribute = "" if axis in (None, 1) else f"<axis = {axis}>"
    body = f"d = DequantizeLinear {attribute} (q, s, z) v = {view} (d) y = Add(x, v)"
    found = rewritten(fold_constants, body, "float x", constants=arrays)
    if expected is None:
        assert view.split()[0] in ops(found)
    else:
        dq = [node for node in found.graph if node.op_type == "DequantizeLinear"][-1]
        assert view.split()[0] not in ops(found)[1:] and tuple(dq.inputs[0].shape) == expected[0]
        assert (dq.attributes["axis"].value if "axis" in dq.attributes else None) == expected[1]


# --- weights alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(("axis", "block"), [(None, 0), (0, 0), (1, 0), (-1, 0), (0, 2), (1, 2), (1, 3)])
def test_weights_become_real_numbers(axis, block, zero):
    """Four rows of six; a scale for all, for each row or column, and for blocks of these."""
    shape = () if axis is None else (np.array([4, 6])[[axis]],)
    if block:
        shape = (-(-4 // block), 6) if axis == 0 else (4, -(-6 // block))
    arrays = {
        "q": RNG.integers(-99, 99, (4, 6)).astype(np.int8),
        "s": RNG.uniform(0.1, 1, np.ravel(shape)).astype(np.float32),
    }
    if zero:
        arrays["z"] = RNG.integers(-9, 9, np.ravel(shape)).astype(np.int8)
    options = [f"axis = {axis}"] * (axis not in (None, 1)) + [f"block_size = {block}"] * bool(block)
    given = f"<{', '.join(options)}>" if options else ""
    body = f"d = DequantizeLinear {given} (q, s{', z' * zero}) y = MatMul(x, d)"
    found = rewritten(dequantize_weights, body, "float[2,4] x", opset=21, constants=arrays)
    assert ops(found) == ["MatMul"]


@pytest.mark.parametrize(
    "body",
    ["q0 = QuantizeLinear(x, s) a = DequantizeLinear(q0, s) d = DequantizeLinear(q, s) y = MatMul(a, d)",
     "q0 = Cast <to = 3> (x) a = DequantizeLinear(q0, s) d = DequantizeLinear(q, s) y = MatMul(a, d)"],
)  # fmt: skip
def test_weights_beside_quantized_activations_stay(body):
    arrays = {"q": np.ones((4, 6), np.int8), "s": np.float32(0.5)}
    assert "DequantizeLinear" in ops(rewritten(dequantize_weights, body, "float[2,4] x", constants=arrays))
