"""Each step towards the form that the compiler reads, alone: what it changes, and the same numbers in ONNX Runtime."""

import decimal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rewritten import ops, rewritten, run

from vlac.errors import UnsupportedError
from vlac.quantize.dialects.clipped import unclip
from vlac.quantize.dialects.constants import fold_constants
from vlac.quantize.dialects.qonnx import DOMAINS, from_qonnx, uses_qonnx
from vlac.quantize.dialects.weight_only import dequantize_weights
from vlac.quantize.dialects.wide_weights import split_wide_weights

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


# --- weights of nine bits ---------------------------------------------------------------------------------------

INPUT = "i = QuantizeLinear(x, a, o) r = DequantizeLinear(i, a, o) "


def wide(layer, q, zero, inputs, *, scale=0.5, attribute="", front=""):
    arrays = {"a": np.float32(0.5), "o": np.int8(3), "q": q, "s": np.float32(scale)}
    arrays |= {} if zero is None else {"z": zero}
    body = f"{INPUT}{front} w = DequantizeLinear {attribute} (q, s{'' if zero is None else ', z'}) y = {layer}"
    return rewritten(split_wide_weights, body, inputs, constants=arrays)


def parts(found):
    """How often a layer reads its input."""
    return max((len(n.inputs) for n in found.graph if n.op_type == "Concat"), default=1)


@pytest.mark.parametrize(("zero", "values", "count"), [
    (np.uint8(0), (0, 127), 1), (np.uint8(0), (0, 128), 2), (np.uint8(128), (0, 255), 1), (np.uint8(129), (0, 255), 2),
    (np.uint8(0), (0, 254), 2), (np.uint8(0), (0, 255), 3), (np.int8(-128), (-128, 127), 3), (np.int8(1), (-128, 1), 2),
    (None, (-128, 127), 1), (np.int8([1]), (-128, 1), 2), (np.int8([0]), (-128, 127), 1),
])  # fmt: skip
@pytest.mark.parametrize(
    "layer", ["MatMul(r, w)", "Gemm(r, w)", "Gemm <transB = 1> (r, w)", "Gemm <transA = 1> (r, w)"]
)
def test_matrices(zero, values, count, layer):
    kind = np.int8 if zero is None else zero.dtype
    q = np.array([[values[0], values[1], 0], [values[1], 1, values[0]]], kind)
    q = q.T if "transB" in layer else q
    found = wide(layer, q, zero, "float[2,4] x" if "transA" in layer else "float[4,2] x")
    assert parts(found) == count


@pytest.mark.parametrize("rank", [1, 3, 4])
def test_products_of_any_rank(rank):
    inputs = f"float{[*range(2, rank + 1), 2]} x".replace("[2]", "[2]")
    assert parts(wide("MatMul(r, w)", np.uint8([[255, 3], [0, 7]]), np.uint8(0), inputs)) == 3
    assert parts(wide("MatMul(r, w)", np.uint8([255, 3]), np.uint8(0), inputs)) == 3


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("group", [1, 2, 3])
@pytest.mark.parametrize("scales", [None, 0, 1])
def test_convolutions(op, group, scales):
    """Of six channels; a scale for each output channel, or along the other axis, where nothing is done."""
    shape = (6, 4 if op == "ConvTranspose" else 6 // group, 2, 3)
    q = RNG.integers(0, 256, shape).astype(np.uint8)
    q.flat[:2] = 0, 255
    n = 1 if scales is None else shape[scales]
    scale, zero = np.float32(2.0 ** -np.arange(n)), np.linspace(0, 100, n).astype(np.uint8)
    if scales is None:
        scale, zero = scale.reshape(()), zero.reshape(())
    attribute = "" if scales is None else f"<axis = {scales}>"
    found = wide(f"{op} <group = {group}> (r, w)", q, zero, "float[1,6,4,5] x", scale=scale, attribute=attribute)
    right = scales is None or scales == (op == "ConvTranspose") or n == 1
    assert parts(found) == (3 if right else 1)


def test_inputs_through_moves_and_shared_ones():
    found = wide("MatMul(t, w)", np.uint8([[255, 3], [0, 7]]), np.uint8(0), "float[2,4] x", front="t = Transpose(r)")
    assert parts(found) == 3
    found = wide("MatMul(t, w)", np.uint8([[255, 3], [0, 7]]), np.uint8(0), "float[4,2] x", front="t = Neg(r)")
    assert parts(found) == 1
    layers = "m = MatMul(r, w) n = MatMul(r, w) y = Add(m, n)"
    arrays = {"a": np.float32(0.5), "o": np.int8(3), "q": np.uint8([[255, 3], [0, 7]]), "s": np.float32(0.5)}
    body = f"{INPUT} w = DequantizeLinear(q, s, z) {layers}"
    found = rewritten(split_wide_weights, body, "float[4,2] x", constants=arrays | {"z": np.uint8(0)})
    assert ops(found).count("Concat") == 1


# --- QONNX ------------------------------------------------------------------------------------------------------


def quant(
    values, *, scale=1.0, zero=0.0, bits=8.0, constant=True, shape=(8,), domain=DOMAINS[0], op="Quant", **attributes
):
    """Quant of a constant, added to the input; or of the input."""
    parameters = {"s": scale, "z": zero, "b": bits} | ({"c": values} if constant else {})
    nodes = [
        helper.make_node(
            op, ["c" if constant else "x", "s", "z", "b"], ["q"], name="quant", domain=domain, **attributes
        )
    ]
    nodes += [helper.make_node("Add", ["x", "q"], ["y"])] if constant else [helper.make_node("Identity", ["q"], ["y"])]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in parameters.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


VALUES = np.float32([-300, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 300])
GRIDS = [
    ({"bits": 8.0}, -128, 127),
    ({"bits": [8.0]}, -128, 127),
    ({"bits": 8.0, "narrow": 1}, -127, 127),
    ({"bits": 8.0, "signed": 0}, 0, 255),
    ({"bits": 8.0, "signed": 0, "narrow": 1}, 0, 254),
    ({"bits": 4.0, "signed": 1}, -8, 7),
    ({"bits": 3.0, "signed": 0}, 0, 7),
    ({"bits": 1.0, "signed": 0}, 0, 1),
]


@pytest.mark.parametrize(("options", "low", "high"), GRIDS, ids=str)
@pytest.mark.parametrize(("scale", "zero"), [(1, 0), (0.5, 0), (2, 1), ([2.0], [1.0])])
@pytest.mark.parametrize("constant", [True, False])
def test_quant(options, low, high, scale, zero, constant):
    """(clip(rint(x / s) + z) - z) * s: half way is decided before the zero point is added, as every sum is whole."""
    model = quant(VALUES, scale=scale, zero=zero, constant=constant, **options)
    assert uses_qonnx(model)
    found = from_qonnx(model)
    assert not uses_qonnx(found) and {o.domain for o in found.opset_import} == {""}
    s, z = np.float32(scale).reshape(-1)[0], np.float32(zero).reshape(-1)[0]
    wanted = (np.clip(np.rint(VALUES / s + (z if constant else 0)) + (0 if constant else z), low, high) - z) * s
    (given,) = run(found, {"x": np.zeros(8, np.float32) if constant else VALUES})
    assert np.array_equal(given, wanted)


ROUNDINGS = {
    "ROUND": decimal.ROUND_HALF_EVEN, "HALF_EVEN": decimal.ROUND_HALF_EVEN, "FLOOR": decimal.ROUND_FLOOR,
    "CEIL": decimal.ROUND_CEILING, "UP": decimal.ROUND_UP, "DOWN": decimal.ROUND_DOWN,
    "HALF_UP": decimal.ROUND_HALF_UP, "HALF_DOWN": decimal.ROUND_HALF_DOWN,
}  # fmt: skip


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_rounding_of_a_constant_quant(mode):
    """As Python's decimal numbers round."""
    values = np.arange(-16, 17, dtype=np.float32) / 4
    (given,) = run(from_qonnx(quant(values, rounding_mode=mode, shape=(33,))), {"x": np.zeros(33, np.float32)})
    assert given.tolist() == [
        int(decimal.Decimal(float(v)).quantize(decimal.Decimal(1), ROUNDINGS[mode])) for v in values
    ]


def activations(*modes, signed=0, zero=0.0):
    """Quant of the input to nearest even, then Relu and Quant by each of the modes."""
    nodes, name = [helper.make_node("Quant", list("xszb"), ["q"], domain=DOMAINS[0])], "q"
    for i, mode in enumerate(modes):
        nodes.append(helper.make_node("Relu", [name], [f"r{i}"]))
        inputs, name = [f"r{i}", *"szb"], "y" if i == len(modes) - 1 else f"q{i}"
        nodes.append(helper.make_node("Quant", inputs, [name], domain=DOMAINS[0], signed=signed, rounding_mode=mode))
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy"]
    numbers = {"s": 0.5, "z": zero, "b": 8.0}
    tensors = [numpy_helper.from_array(np.float32(v), n) for n, v in numbers.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAINS[0], 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(("mode", "options", "found"), [
    ("ROUND", {}, "nearest-even"), ("HALF_EVEN", {"signed": 1}, "nearest-even"), ("FLOOR", {"signed": 1}, "floor"),
    ("FLOOR", {"zero": 3.0}, "floor"), ("HALF_UP", {}, "half-up"), ("DOWN", {}, "floor"), ("CEIL", {}, None),
    ("HALF_UP", {"signed": 1}, None), ("DOWN", {"signed": 1}, None), ("HALF_UP", {"zero": 3.0}, None),
])  # fmt: skip
def test_rounding_of_activations(mode, options, found):
    """Away from zero is up, and towards it down, only where nothing is less than zero."""
    if found is None:
        with pytest.raises(UnsupportedError, match=f"cannot round an activation by {mode}"):
            from_qonnx(activations(mode, **options))
    else:
        properties = from_qonnx(activations(mode, mode, **options)).metadata_props
        assert {p.key: p.value for p in properties} == {"vlac.rounding": found}


def test_a_program_rounds_in_one_way():
    with pytest.raises(UnsupportedError, match="Quant 'q0' rounds by floor and Quant 'q1' by half-up; a program"):
        from_qonnx(activations("FLOOR", "HALF_UP", "ROUND"))


@pytest.mark.parametrize(("bits", "largest"), [(9.0, 255), (16.0, 32767), (32.0, 2**31 - 1)])
def test_a_bias_of_more_bits(bits, largest):
    (given,) = run(from_qonnx(quant(np.float32([-1e10, 1e10] * 4), bits=bits)), {"x": np.zeros(8, np.float32)})
    assert np.allclose(given[:2], [-largest - 1, largest])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_scale_for_each_index_of_an_axis(axis, zeros):
    values = np.float32([[-300, -2.4, 1.3], [0.6, 2.7, 300]])
    shape = (2, 1) if axis == 0 else (3,)
    scale = np.linspace(0.5, 2, shape[0], dtype=np.float32).reshape(shape)
    zero = np.arange(shape[0], dtype=np.float32).reshape(shape) if zeros else np.float32(1)
    found = from_qonnx(quant(values, scale=scale, zero=zero, shape=(2, 3)))
    wanted = (np.clip(np.rint(values / scale + zero), -128, 127) - zero) * scale
    assert np.allclose(run(found, {"x": np.zeros((2, 3), np.float32)})[0], wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 2.5}, "must be whole numbers"),
        ({"bits": [8.0, 8.0]}, "one bit width"),
        ({"zero": 0.5}, "must be whole numbers"),
        ({"bits": 33.0}, "33 bits signed with 1 scales"),
        ({"bits": 9.0, "signed": 0}, "9 bits unsigned"),
        ({"bits": 9.0, "zero": 1.0}, "9 bits signed"),
        ({"bits": 9.0, "constant": False}, "9 bits signed"),
        ({"scale": np.ones((2, 4))[:, None], "values": np.ones((2, 1, 4)), "shape": (2, 1, 4)}, "8 scales"),
        ({"scale": np.ones(3)}, "3 scales"),
        ({"scale": np.ones(8), "zero": np.ones((8, 1))}, "8 scales"),
        ({"scale": np.ones(8), "zero": np.ones(2)}, "8 scales"),
        ({"zero": np.ones(8)}, "1 scales"),
        ({"scale": np.ones(8), "constant": False}, "8 scales"),
        ({"rounding_mode": "SOME"}, "rounding mode SOME does not exist"),
        ({"rounding_mode": "CEIL", "constant": False}, "cannot round an activation by CEIL"),
    ],
    ids=str,
)
def test_quant_that_is_refused(options, message):
    with pytest.raises(UnsupportedError, match=message):
        from_qonnx(quant(options.pop("values", VALUES), **options))


def test_quant_with_computed_parameters_is_refused():
    model = quant(VALUES)
    del model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, []))
    with pytest.raises(UnsupportedError, match="must be constants"):
        from_qonnx(model)
    short = quant(VALUES)
    del short.graph.node[0].input[3]
    with pytest.raises(UnsupportedError, match="must be constants"):
        from_qonnx(short)


@pytest.mark.parametrize(("domain", "op", "uses"), [
    *((d, o, True) for d in DOMAINS for o in ("Quant", "IntQuant")),
    (DOMAINS[0], "BipolarQuant", False), ("mine", "Quant", False),
])  # fmt: skip
def test_which_nodes_are_quant(domain, op, uses):
    model = quant(VALUES, domain=domain, op=op)
    assert uses_qonnx(model) is uses and (from_qonnx(model) is model) is not uses
