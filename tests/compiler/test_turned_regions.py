"""Which regions are turned into another order of axes, and how many Transposes are left: worked out by hand."""

import numpy as np
import pytest
from rewritten import ops, rewritten

from vlac.rewrite.axis_order import turn_regions

RNG = np.random.default_rng(0)
LAST, FIRST = "Transpose <perm = [0, 2, 3, 1]>", "Transpose <perm = [0, 3, 1, 2]>"
X = "float[1,3,5,6] x"  # channels, rows and columns are told from each other
ARRAYS = {
    "w": RNG.standard_normal((4, 3, 1, 1)).astype(np.float32),
    "v": RNG.standard_normal((2, 4, 1, 1)).astype(np.float32),
    "low": np.float32(-1),
    "high": np.float32(1),
    "channel": RNG.standard_normal(4).astype(np.float32),
    "column": RNG.standard_normal((6, 1)).astype(np.float32),
    "pads": np.int64([0, 1, 2, 0, 0, 0, 3, 1]),
    "four": np.int64([1, 2, 0, 1]),
    "one": np.int64([1]),
    "channels": np.int64([3]),
    "pixels": np.int64([1, 2]),
    "rows": np.int64([30, 4]),
    "flat": np.int64([1, 120]),
    "row": np.int64([1, 30, 4]),
    "halves": np.int64([1, 5, 12, 2]),
}


def turned(body, inputs=X, outputs="y", **options):
    arrays = ARRAYS | options.pop("constants", {})
    return rewritten(turn_regions, body, inputs, outputs, rtol=1e-4, constants=arrays, **options)


def left(*args, **options):
    """How many Transposes are left."""
    return ops(turned(*args, **options)).count("Transpose")


def between(middle, result="b"):
    """Two layers with `middle` between Transposes: `a` has its channels last, `result` becomes `y`."""
    return f"c = Conv(x, w) a = {LAST} (c) {middle} d = {FIRST} ({result}) y = GlobalAveragePool(d)"


@pytest.mark.parametrize(
    "middle",
    [
        "b = Relu(a)",
        "b = Identity(a)",
        "b = Clip(a, low, high)",
        "b = Add(a, channel)",
        "b = Add(channel, a)",
        "b = Mul(a, column)",
        "b = Mul(a, a)",
        "b = Pad(a, pads)",
        "b = Pad(a, pads, low)",
        'b = Pad <mode = "edge"> (a, pads)',
        "b = Concat <axis = 1> (a, a)",
        "b = Concat <axis = 2> (a, a)",
        "b = Concat <axis = -1> (a, a)",
        "r = Relu(a) s = Sigmoid(r) b = Add(s, a)",
        "r = Relu(a) s = Sigmoid(a) b = Mul(r, s)",
    ],
)
def test_both_transposes_go(middle):
    assert left(between(middle)) == 0


@pytest.mark.parametrize(
    ("middle", "options"),
    [
        ("b = Hardmax(a)", {}),  # along an axis, and none of the compiler's operators
        ("b = Softmax(a)", {}),
        ("b = Pad(a, four, low, pixels)", {"opset": 18}),  # of axes that are listed
        ("b = ReduceMean <axes = [2]> (a)", {}),
    ],
)
def test_what_knows_its_axes_stays(middle, options):
    assert left(between(middle), **options) == 2


def test_computed_padding_stays():
    body = between("b = Pad(a, z)")
    assert left(body, X + ", int64[8] z", "float[1,4,1,1] y, float[1,5,6,4] b", computes=False) == 2


def test_operators_of_another_domain_stay():
    body = f"c = Conv(x, w) a = {LAST} (c) b = mine.Relu(a) y = {FIRST} (b)"
    assert left(body, outputs="float[1,4,5,6] y", computes=False) == 2


def test_three_axes():
    """Not of matrices, which may be either way."""
    for perm, inputs, expected in (("[0, 2, 1]", "float[2,5,6] x", 0), ("[1, 0]", "float[5,6] x", 2)):
        turn = f"Transpose <perm = {perm}>"
        body = f"c = MatMul(x, m) a = {turn} (c) b = Relu(a) d = {turn} (b) y = MatMul(d, m)"
        assert left(body, inputs, constants={"m": np.ones((6, 6), np.float32)}) == expected


def test_operands_of_fewer_axes_stay():
    """A computed operand that broadcasts along axes it has not."""
    body = between("b = Add(a, z)")
    assert left(body, X + ", float[6,4] z") == 2
    body = f"c = Conv(x, w) a = {LAST} (c) r = Relu(a) d = {FIRST} (r) y = Conv(d, v) s = Add(r, z)"
    assert left(body, X + ", float[6,4] z", "y, s") == 1  # that in front of the Add


# --- what counts ------------------------------------------------------------------------------------------------


def test_one_transpose_less_is_enough():
    """In front of the region one goes; what reads its result is in neither order."""
    front = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a)"
    assert left(front + f"d = {FIRST} (b) e = Softmax(b) p = ReduceMean(d) q = ReduceMean(e) y = Add(p, q)") == 1
    assert left(front + "y = Softmax(b)") == 1  # and one for one is no gain


def test_transposes_of_inputs_and_outputs_count_nothing():
    assert left(f"a = {LAST} (x) b = Relu(a) c = {FIRST} (b) y = Conv(c, w)") == 0  # the second of them counts
    body = f"a = {LAST} (x) b = Add(a, channel) y = Softmax(b)"
    assert left(body, "float[1,4,5,6] x") == 1
    body = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) y = {FIRST} (b)"
    found = turned(body)
    assert ops(found).count("Transpose") in (0, 2)
    body = f"c = Conv(x, w) b = Relu(c) y = {LAST} (b)"
    assert ops(turned(body)) == ["Conv", "Relu", "Transpose"]


def test_a_source_that_others_read_stays():
    """The Transpose is there for its other reader in any case."""
    body = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) e = Softmax(a) y = Add(b, e)"
    assert left(body) == 1
    body = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) y = Softmax(b)"
    assert left(body, outputs="y, a") == 1


def test_two_sources_and_one_result():
    """Two go in front and one comes behind."""
    body = f"c = Conv(x, w) e = Softmax(c) a = {LAST} (c) b = {LAST} (e) s = Add(a, b) y = Softmax(s)"
    assert left(body) == 1


def test_a_source_of_another_order_gets_a_transpose():
    """Of a layer's result, where two others and the result lose theirs; a model input's costs nothing."""
    front = f"c = Conv(x, w) e = Softmax(c) a = {LAST} (c) b = {LAST} (e)"
    body = front + f"s = Sum(a, b) t = Add(s, z) d = {FIRST} (t) y = Conv(d, v)"
    found = turned(body, X + ", float[1,5,6,4] z")
    assert ops(found).count("Transpose") == 1
    body = body.replace("Add(s, z)", "Add(s, g)").replace("c = Conv", "g = Softmax <axis = 1> (z) c = Conv")
    found = turned(body, X + ", float[1,5,6,4] z")
    assert ops(found).count("Transpose") == 1


# --- what reads the result --------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize(
    ("axes", "keep", "expected"),
    [
        ([1, 2], 0, 0),  # rows and columns go, channels are left
        ([-2, -3], 0, 0),
        ([3], 0, 0),  # rows and columns are left in their order
        ([1], 0, 1),  # columns and channels change places
        ([1, 2], 1, 1),  # axes that stay
        ([0, 1, 2, 3], 0, 0),
    ],
)
def test_reductions(reduction, axes, keep, expected):
    body = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) y = {reduction} <axes = {axes}, keepdims = {keep}> (b)"
    assert left(body) == expected


def test_reductions_whose_axes_are_an_input_or_left_out():
    front = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) "
    assert left(front + "y = ReduceSum <keepdims = 0> (b, pixels)") == 0
    assert left(front + "y = ReduceSum <keepdims = 0> (b, channels)") == 0
    assert left(front + "y = ReduceSum <keepdims = 0> (b, one)") == 1
    assert left(front + "y = ReduceSum (b, pixels)") == 1
    assert left(front + "y = ReduceMean <keepdims = 0> (b)") == 1  # of all axes: as it is
    assert left(front + "y = ReduceL2 <axes = [1, 2], keepdims = 0> (b)") == 1


@pytest.mark.parametrize(("size", "expected"), [("rows", 1), ("row", 1), ("flat", 1), ("halves", 1)])
def test_a_reshape_behind_a_region(size, expected):
    """Rows of channels lie in memory as they are, and a Transpose that makes them is free."""
    body = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) y = Reshape(b, {size})"
    found = turned(body)
    assert ops(found).count("Transpose") == expected
    assert (ops(found)[1:3] == ["Relu", "Transpose"]) == (size in ("rows", "row"))


def test_a_transpose_in_front_of_rows_stays():
    """A region in the order of its source, whose result is turned for rows of channels: no gain in turning it."""
    body = f"c = Conv(x, w) b = Relu(c) a = {LAST} (b) y = Reshape(a, rows)"
    assert ops(turned(body)) == ["Conv", "Relu", "Transpose", "Reshape"]
    body = f"e = Softmax(x) b = Relu(e) a = {FIRST} (b) y = Reshape(a, rows)"
    assert left(body, "float[1,5,6,4] x") == 1
    body = f"c = Conv(x, w) b = Relu(c) a = {LAST} (b) y = Softmax(a)"
    assert left(body) == 1


def test_several_outputs_keep_names_and_order():
    body = f"c = Conv(x, w) a = {LAST} (c) b = Relu(a) d = {FIRST} (b) y = Conv(d, v) s = Sigmoid(b)"
    found = turned(body, outputs="y, b, s")
    assert ops(found).count("Transpose") == 2  # of the two outputs
