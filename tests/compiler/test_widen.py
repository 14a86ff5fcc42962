"""Layers over one axis as layers over images of one row: which nodes, and that they compute the same."""

import numpy as np
import pytest
from rewritten import constants, ops, rewritten

from vlac.rewrite.one_dimensional import widen

RNG = np.random.default_rng(0)
X = "float[1,6,20] x"
ARRAYS = {
    "w": RNG.standard_normal((4, 6, 3)).astype(np.float32),
    "v": RNG.standard_normal((6, 4, 3)).astype(np.float32),
    "c": RNG.standard_normal(4).astype(np.float32),
    "two": np.int64([2]),
}


def ranks(found):
    """The number of axes of what each operator reads first and gives, without Squeeze and Unsqueeze."""
    return [
        (n.op_type, len(n.inputs[0].shape), len(n.outputs[0].shape))
        for n in found.graph
        if n.op_type not in ("Squeeze", "Unsqueeze")
    ]


def widened(body, inputs=X, outputs="y", **options):
    constants = ARRAYS | options.pop("constants", {})
    return rewritten(options.pop("apply", widen), body, inputs, outputs, rtol=1e-4, constants=constants, **options)


@pytest.mark.parametrize(
    ("op", "attributes", "inputs"),
    [
        ("Conv", "", "x, w"),
        ("Conv", "kernel_shape = [3], strides = [2], pads = [1, 0]", "x, w, c"),
        ("Conv", "dilations = [3], pads = [0, 2]", "x, w"),
        ("Conv", 'auto_pad = "SAME_LOWER"', "x, w"),
        ("ConvTranspose", "strides = [3], output_padding = [2], pads = [1, 0]", "x, v"),
        ("ConvTranspose", "kernel_shape = [3], dilations = [2]", "x, v, c"),
        ("ConvTranspose", "strides = [2], output_shape = [40]", "x, v"),
        ("MaxPool", "kernel_shape = [3], strides = [2], pads = [1, 2]", "x"),
        ("AveragePool", "kernel_shape = [2], strides = [2]", "x"),
        ("GlobalMaxPool", "", "x"),
        ("GlobalAveragePool", "", "x"),
        ("BatchNormalization", "", "x, s, s, s, s"),
    ],
)
def test_layers(op, attributes, inputs):
    given = f"<{attributes}>" if attributes else ""
    found = widened(f"y = {op} {given} ({inputs})", constants={"s": np.float32([1, 2, 3, 4, 5, 6])})
    assert ops(found) == ["Unsqueeze", op, "Squeeze"]
    assert tuple(found.graph.node(1).inputs[0].shape) == (1, 6, 1, 20) and ranks(found) == [(op, 4, 4)]
    assert all(shape.value[0] == {"output_padding": 0}.get(name, 1)
               for name, shape in found.graph.node(1).attributes.items()
               if name in ("kernel_shape", "strides", "dilations", "output_padding", "output_shape"))  # fmt: skip


def test_layers_behind_each_other_and_inputs_between():
    found = widened("a = Transpose <perm = [0, 2, 1]> (x) b = Conv(a, w) r = Relu(b) y = Conv(r, u)", "float[1,20,6] x",
                    constants={"u": np.ones((2, 4, 1), np.float32)})  # fmt: skip
    assert ops(found)[:3] == ["Transpose", "Unsqueeze", "Conv"]
    assert ranks(found)[1:] == [("Conv", 4, 4), ("Relu", 4, 4), ("Conv", 4, 4)] and ops(found).count("Unsqueeze") == 1


@pytest.mark.parametrize(
    ("body", "inputs", "outputs"),
    [
        ("y = Conv(x, w)", "float[1,6,5,7] x", "y"),
        ("y = Conv(x, z)", X + ", float[4,6,3] z", "y"),
        ("y = Relu(x)", X, "y"),
        ("y = MaxPool <kernel_shape = [2, 2]> (x)", "float[1,6,5,7] x", "y"),
        ("y = ReduceMean <axes = [2]> (x)", X, "y"),
        ("y = Slice(x, two, two, two)", X, "y"),
        ("y, z = Split <axis = 1> (x)", X, "y, z"),
        ("y = Concat <axis = 1> (x, x)", X, "y"),
        ("y = Reshape(x, size)", X, "y"),
    ],
)
def test_what_starts_nothing(body, inputs, outputs):
    arrays = {"size": np.int64([1, 120])} | ({"w": np.ones((4, 6, 2, 2), np.float32)} if "5,7" in inputs else {})
    assert len(ops(widened(body, inputs, outputs, constants=arrays))) == 1


def test_layers_of_another_domain_stay():
    assert ops(widened("y = mine.GlobalMaxPool(x)", X, "float[1,6,1] y", computes=False)) == ["GlobalMaxPool"]


# --- what follows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "wide"),
    [
        ("Relu(a)", True),
        ("Identity(a)", True),
        ("Dropout(a)", True),
        ("Clip(a, low, high)", True),
        ("Add(a, one)", True),
        ("Mul(a, row)", True),
        ("Mul(a, column)", True),
        ("Mul(a, plane)", True),
        ("Mul(a, whole)", True),
        ("Mul(whole, a)", True),
        ("Add(a, b)", True),
        ("Add(a, x)", False),  # x has no image form
        ("PRelu(a, column)", True),
        ("Concat <axis = 1> (a, b)", True),
        ("Concat <axis = -2> (a, b)", True),
        ("Concat <axis = 2> (a, b)", True),
        ("Concat <axis = -1> (a, b)", True),
        ("Concat <axis = 0> (a, b)", False),
        ("ReduceMean <axes = [2]> (a)", True),
        ("ReduceMean <axes = [-1], keepdims = 0> (a)", True),
        ("ReduceMax <axes = [2], keepdims = 0> (a)", True),
        ("ReduceSum <keepdims = 0> (a, two)", True),
        ("ReduceMean <axes = [1]> (a)", False),
        ("ReduceMean <axes = [1, 2]> (a)", False),
        ("ReduceMin <axes = [2]> (a)", False),
        ("Slice(a, first, last, two)", True),
        ("Slice(a, first, last, one_)", True),
        ("Slice(a, first, last, zero)", True),
        ("Slice(a, first, last, minus)", True),
        ("Slice(a, first, far, two, step)", True),
        ("Slice(a, firsts, lasts, both)", True),
        ("Slice(a, first, last)", False),
        ("Softmax <axis = 1> (a)", False),
        ("Transpose <perm = [0, 2, 1]> (a)", False),
        ("Flatten(a)", False),
        ("Gather <axis = 1> (a, two)", False),
        ("Hardmax <axis = 1> (a)", False),
        ("MatMul(a, matrix)", False),
    ],
)
def test_what_follows_a_layer(node, wide):
    """Six channels to six, 20 places: every axis is told from the others."""
    arrays = {
        "w": RNG.standard_normal((6, 6, 1)).astype(np.float32),
        "low": np.float32(-1),
        "high": np.float32(2),
        "one": np.float32(1),
        "row": RNG.standard_normal(20).astype(np.float32),
        "column": RNG.standard_normal((6, 1)).astype(np.float32),
        "plane": RNG.standard_normal((6, 20)).astype(np.float32),
        "whole": RNG.standard_normal((1, 6, 20)).astype(np.float32),
        "matrix": RNG.standard_normal((20, 3)).astype(np.float32),
    }
    places = {"zero": [0], "one_": [1], "minus": [-2], "both": [1, 2], "step": [3]}
    places |= {"first": [0], "last": [1], "far": [9], "firsts": [1, 3], "lasts": [3, 9]}
    arrays |= {name: np.int64(place) for name, place in places.items()}
    found = widened(f"a = Conv(x, w) b = MaxPool <kernel_shape = [1]> (x) y = {node}", constants=arrays)
    op = node.split("(")[0].split()[0]
    (read,) = (
        [before for name, before, _ in ranks(found) if name == op] if "whole, a" not in node else [4 if wide else 3]
    )
    assert read == (4 if wide else 3)


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
def test_a_split(axis):
    found = widened(f"a = Conv(x, w) y, z = Split <axis = {axis}> (a)", outputs="y, z")
    assert ("Split", 4, 4) in ranks(found)
    sizes = {"sizes": np.int64([1, 3] if axis in (1, -2) else [2, 16])}
    found = widened(f"a = Conv(x, w) y, z = Split <axis = {axis}> (a, sizes)", outputs="y, z", constants=sizes)
    assert ("Split", 4, 4) in ranks(found)


# --- pixels and quantized models --------------------------------------------------------------------------------

PIXELS = "a = Relu(x) y = Reshape(a, size)"


@pytest.mark.parametrize(
    ("shape", "size", "wide"),
    [
        ((1, 6, 5, 7), (1, 6, 35), True),
        ((1, 6, 5, 7), (1, 35, 6), False),
        ((1, 6, 5, 7), (6, 5, 7), False),
        ((1, 6, 5, 7), (1, 5, 42), False),
        ((1, 5, 5, 7), (1, 5, 35), True),
        ((2, 6, 5, 7), (2, 6, 35), False),
        ((6, 5, 7), (1, 6, 35), False),
        ((1, 6, 7, 5), (1, 6, 35), True),
    ],
)
@pytest.mark.parametrize("layers", [True, False])
def test_pixels_of_an_image(shape, size, wide, layers):
    found = widened(PIXELS, f"float{list(shape)} x", constants={"size": np.int64(size)},
                    apply=lambda m: widen(m, layers=layers))  # fmt: skip
    assert ops(found) == ["Relu", "Reshape", *(["Squeeze"] if wide else [])]
    if wide:
        assert constants(found, "Reshape", 1).tolist() == [1, size[1], 1, 35]


def test_layers_of_quantized_models_stay():
    assert ops(widened("y = Conv(x, w)", apply=lambda m: widen(m, layers=False))) == ["Conv"]


@pytest.mark.parametrize(
    ("scale", "wide"),
    [(np.float32(0.5), True), (np.float32([0.5]), True), (np.full(6, 0.5, np.float32), False)],
    ids=str,
)
def test_quantization_behind_pixels(scale, wide):
    """With a scale for each channel the axis of these would have to be told."""
    zero = np.zeros(scale.shape, np.int8)
    body = "a = Reshape(x, size) q = QuantizeLinear <axis = 1> (a, s, z) y = DequantizeLinear <axis = 1> (q, s, z)"
    arrays = {"size": np.int64([1, 6, 35]), "s": scale, "z": zero}
    found = widened(body, "float[1,6,5,7] x", constants=arrays, apply=lambda m: widen(m, layers=False))
    rank = 4 if wide else 3
    assert ranks(found)[1:] == [("QuantizeLinear", rank, rank), ("DequantizeLinear", rank, rank)]


def test_quantization_with_a_computed_scale_stays():
    body = "a = Reshape(x, size) q = QuantizeLinear(a, s, z) y = DequantizeLinear(q, s, z)"
    arrays = {"size": np.int64([1, 6, 35]), "z": np.int8(0)}
    found = widened(body, "float[1,6,5,7] x, float s", constants=arrays, computes=False)
    assert ranks(found)[1:] == [("QuantizeLinear", 3, 3), ("DequantizeLinear", 3, 3)]


def test_quantized_constants_stay_as_they_are():
    body = "a = Reshape(x, size) d = DequantizeLinear(q, s) y = Add(a, d)"
    arrays = {"size": np.int64([1, 6, 35]), "q": np.full((6, 1), 3, np.int8), "s": np.float32(0.5)}
    assert ("Add", 3, 3) in ranks(widened(body, "float[1,6,5,7] x", constants=arrays))
