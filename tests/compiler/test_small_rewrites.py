"""Rewrites of one operator each: when they apply, and that they compute the same in ONNX Runtime."""

import numpy as np
import pytest
from rewritten import constants, ops, rewritten

from vlac.rewrite.batch_norm_to_conv import BATCH_NORM_TO_CONV
from vlac.rewrite.batched_matmul import split_batches
from vlac.rewrite.cast_pair import CAST_PAIR
from vlac.rewrite.div_to_mul import DIV_TO_MUL
from vlac.rewrite.gemm_bias import GEMM_BIAS
from vlac.rewrite.group_to_dense import GROUP_TO_DENSE
from vlac.rewrite.pad_max_pool import pad_max_pools
from vlac.rewrite.split_variadic import split_variadic
from vlac.rewrite.sub_to_add import sub_to_add
from vlac.rewrite.three_dimensional import flatten_depth

RNG = np.random.default_rng(0)


def weight(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# --- operators of many operands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "step"), [("Max", "Max"), ("Min", "Min"), ("Sum", "Add"), ("Mean", "Add")])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_operands_one_by_one(op, step, count):
    """Of shapes that broadcast."""
    inputs = ["float[1,2,3] a", "float[2,1] b", "float[3] c", "float[2,3] d"][:count]
    found = rewritten(split_variadic, f"y = {op}({', '.join('abcd'[:count])})", ", ".join(inputs))
    expected = [step] * (count - 1) + ["Mul"] * (op == "Mean") if count > 2 else [op]
    assert ops(found) == expected


def test_other_operators_of_many_operands_stay():
    found = rewritten(split_variadic, "y = Concat <axis = 0> (a, b, c)", "float[2] a, float[2] b, float[2] c")
    assert ops(found) == ["Concat"]
    inputs = "float[2] a, float[2] b, float[2] c"
    assert ops(rewritten(split_variadic, "y = mine.Max(a, b, c)", inputs, "float[2] y", False)) == ["Max"]


@pytest.mark.parametrize(
    ("shapes", "becomes"),
    [
        (("1,3,4", "1,3,4"), ["Mul", "Add"]),
        (("1,3,4", "4"), ["Sub"]),
        (("1,2,3,4", "1,2,3,4"), ["Sub"]),
    ],
)
def test_differences_of_rows(shapes, becomes):
    inputs = ", ".join(f"float[{shape}] {name}" for shape, name in zip(shapes, "ab", strict=True))
    norm = "g = Constant <value_floats = [1.0, 2.0, 0.5, 1.5]> () y = LayerNormalization (d, g)"
    assert ops(rewritten(sub_to_add, f"d = Sub (a, b) {norm}", inputs)) == [*becomes, "Constant", "LayerNormalization"]
    assert ops(rewritten(sub_to_add, "y = Sub (a, b)", inputs)) == ["Sub"]


# --- Casts, divisions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "goes"), [(10, True), (11, True), (6, False), (16, False), (1, False)])
def test_casts_there_and_back(kind, goes):
    """float16 and float64; not integers, which round (bfloat16 is no type of a model)."""
    found = rewritten(CAST_PAIR, f"a = Cast <to = {kind}> (x) y = Cast <to = 1> (a)", "float[1,4] x", rtol=0.01)
    assert ops(found) == (["Identity"] if goes else ["Cast", "Cast"])


def test_casts_that_start_or_end_elsewhere():
    for body, inputs, output in (
        ("a = Cast <to = 11> (x) y = Cast <to = 10> (a)", "float[1,4] x", "float16[1,4] y"),
        ("a = Cast <to = 11> (x) y = Cast <to = 1> (a)", "float16[1,4] x", "y"),
        ("a = Cast <to = 1> (x) y = Cast <to = 1> (a)", "int32[1,4] x", "y"),
    ):
        assert ops(rewritten(CAST_PAIR, body, inputs, output)) == ["Cast", "Cast"]


@pytest.mark.parametrize(
    ("divisor", "expected"),
    [
        (np.float32([[1, 2, 4, -8]]), "Mul"),
        (np.float32([[1, 1, 1, 1]]), "Mul"),
        (np.float32([1, 2, 0, 4]), "Div"),
        (np.float32(4), "Div"),
        (np.float32([4]), "Div"),
        (np.float64([1, 2, 4, 8]), "Div"),
    ],
    ids=str,
)
def test_divisors(divisor, expected):
    double = divisor.dtype == np.float64
    inputs, outputs = ("double[2,4] x", "double[2,4] y") if double else ("float[2,4] x", "y")
    found = rewritten(DIV_TO_MUL, "y = Div(x, c)", inputs, outputs, constants={"c": divisor})
    assert ops(found) == [expected]
    if expected == "Mul":
        assert np.array_equal(constants(found, "Mul", 1), 1 / divisor)


def test_divisors_of_two_and_quotients_of_constants():
    assert ops(rewritten(DIV_TO_MUL, "y = Div(x, c)", "float[2,2] x", constants={"c": np.float32([2, 4])})) == ["Mul"]
    assert ops(rewritten(DIV_TO_MUL, "y = Div(x, z)", "float[2,4] x, float[4] z")) == ["Div"]
    assert ops(rewritten(DIV_TO_MUL, "y = Div(c, x)", "float[2,4] x", constants={"c": weight(4)})) == ["Div"]
    both = {"c": weight(2, 4), "d": weight(4)}
    assert ops(rewritten(DIV_TO_MUL, "q = Div(c, d) y = Add(x, q)", "float[2,4] x", constants=both))[0] == "Div"


# --- Gemm -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [None, 1.0, 2.0, 0.5])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), (), (2, 3), (2, 1), (1, 1)], ids=str)
def test_the_bias_of_a_gemm(beta, shape):
    """Two rows of three results: what is the same for both is one row, the rest is added behind."""
    body = f"y = Gemm <alpha = 0.5{'' if beta is None else f', beta = {beta}'}> (x, w, c)"
    bias = weight(*shape)
    found = rewritten(GEMM_BIAS, body, "float[2,4] x", constants={"w": weight(4, 3), "c": bias})
    rows = len(shape) == 2 and shape[0] == 2
    assert ops(found) == (["Gemm", "Add"] if rows else ["Gemm"])
    if not rows:
        assert np.allclose(constants(found, "Gemm", 2), np.broadcast_to((beta or 1) * bias.reshape(-1), 3))
        assert found.graph.node(0).attributes.get_float("beta", 1.0) == 1


def test_a_square_gemm_and_a_computed_bias():
    found = rewritten(GEMM_BIAS, "y = Gemm(x, w, c)", "float[3,4] x", constants={"w": weight(4, 3), "c": weight(3, 1)})
    assert ops(found) == ["Gemm", "Add"]
    found = rewritten(
        GEMM_BIAS, "y = Gemm <beta = 2.0> (x, w, z)", "float[2,4] x, float[3] z", constants={"w": weight(4, 3)}
    )
    assert ops(found) == ["Gemm"] and found.graph.node(0).inputs[2].name == "z"


@pytest.mark.parametrize(("beta", "nodes"), [(1.0, ["Gemm", "Add"]), (2.0, ["Gemm", "Mul", "Add"])])
def test_what_a_gemm_adds_to_all_rows(beta, nodes):
    """A residual beside a layer of matrices, which the rule for MatMul and Add makes the C of a Gemm."""
    body = f"y = Gemm <beta = {beta}> (x, w, z)"
    found = rewritten(GEMM_BIAS, body, "float[2,4] x, float[2,3] z", constants={"w": weight(4, 3)})
    assert sorted(ops(found)) == sorted(nodes)


# --- transposed convolutions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_groups_of_a_transposed_convolution(group, bias):
    """Six channels to two for each group, windows of 2x3."""
    body = f"y = ConvTranspose <group = {group}, strides = [2, 1], pads = [0, 1, 1, 0]> (x, w{', c' * bias})"
    arrays = {"w": weight(6, 2, 2, 3), "c": weight(2 * group)}
    found = rewritten(GROUP_TO_DENSE, body, "float[1,6,4,5] x", constants=arrays)
    attributes = found.graph.node(0).attributes
    assert attributes.get_int("group", 1) == 1 and attributes["strides"].value == (2, 1)
    assert constants(found, "ConvTranspose", 1).shape == (6, 2 * group, 2, 3)


def test_transposed_convolutions_that_stay():
    found = rewritten(
        GROUP_TO_DENSE, "y = ConvTranspose(x, w)", "float[1,6,4,5] x", constants={"w": weight(6, 2, 2, 2)}
    )
    assert found.graph.node(0).inputs[1].name == "w"
    found = rewritten(GROUP_TO_DENSE, "y = ConvTranspose <group = 2> (x, z)", "float[1,6,4,5] x, float[6,2,2,2] z")
    assert found.graph.node(0).inputs[1].name == "z"


# --- stacks of matrices -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stack", "products"),
    [
        ((3, 4), (2, 4, 5), 1),
        ((1, 3, 4), (2, 4, 5), 1),
        ((2, 3, 4), (2, 4, 5), 2),
        ((2, 3, 4), (1, 4, 5), 2),
        ((3, 3, 4), (2, 1, 4, 5), 6),
        ((2, 1, 3, 4), (3, 4, 5), 6),
        ((1, 4), (3, 2, 4, 5), 1),
        ((2, 3, 4), (3, 2, 4, 4), 6),
    ],
    ids=str,
)
def test_stacks_of_matrices(given, stack, products):
    found = rewritten(split_batches, "y = MatMul(x, w)", f"float{list(given)} x", constants={"w": weight(*stack)})
    assert ops(found).count("MatMul") == products
    for node in found.graph:
        if node.op_type == "MatMul":
            assert [len(v.shape) for v in node.inputs] == [2, 2]
    slices = [n for n in found.graph if n.op_type == "Slice"]
    assert len(slices) == (0 if products == 1 else np.prod(given[:-2]))


@pytest.mark.parametrize(
    ("inputs", "body", "shape"),
    [
        ("float[3,4] x", "y = MatMul(x, w)", (4, 5)),
        ("float[2,3,4] x", "y = MatMul(x, w)", (4, 5)),
        ("float[4] x", "y = MatMul(x, w)", (2, 4, 5)),
        ("float[2,5,4] x", "y = MatMul(w, x)", (2, 4, 5)),
        ("float[2,3,4] x, float[2,4,5] z", "y = MatMul(x, z)", (1,)),
        ("float[2,4,5] x", "y = Add(x, w)", (2, 4, 5)),
    ],
)
def test_products_that_stay(inputs, body, shape):
    found = rewritten(split_batches, body, inputs, constants={"w": weight(*shape)})
    assert ops(found) == [body.split()[2].split("(")[0]]


def test_products_of_another_domain_stay():
    found = rewritten(split_batches, "y = mine.MatMul(x, w)", "float[3,4] x", "float[2,3,5] y", False,
                      constants={"w": weight(2, 4, 5)})  # fmt: skip
    assert ops(found) == ["MatMul"]


def test_a_product_of_constants_stays():
    arrays = {"v": weight(2, 3, 4), "w": weight(2, 4, 5)}
    found = rewritten(split_batches, "p = MatMul(v, w) y = Add(x, p)", "float[2,3,5] x", constants=arrays)
    assert ops(found) == ["MatMul", "Add"]


# --- batch normalization ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [None, 0.5])
@pytest.mark.parametrize(("shape", "expected"), [
    ((1, 3, 4, 5), ["Conv"]), ((1, 3), ["Mul", "Add"]), ((1, 3, 7), ["Mul", "Add"]), ((2, 3, 4), ["Mul", "Add"]),
    ((1, 3, 2, 2, 2), ["Mul", "Add"]),
], ids=str)  # fmt: skip
def test_batch_normalization(shape, expected, epsilon):
    """A deviation of almost nothing, so that epsilon counts."""
    arrays = dict(zip("sbmv", (weight(3), weight(3), weight(3), np.float32([1e-5, 0.5, 2])), strict=True))
    body = f"y = BatchNormalization {'' if epsilon is None else f'<epsilon = {epsilon}>'} (x, s, b, m, v)"
    found = rewritten(BATCH_NORM_TO_CONV, body, f"float{list(shape)} x", constants=arrays, rtol=1e-4)
    assert ops(found) == expected
    if expected == ["Conv"]:
        assert constants(found, "Conv", 1).shape == (3, 1, 1, 1)


def test_batch_normalizations_that_stay():
    arrays = dict(zip("bmv", np.ones((3, 3), np.float32), strict=True))
    body = "y = BatchNormalization (x, z, b, m, v)"
    assert (
        ops(rewritten(BATCH_NORM_TO_CONV, body, "float[1,3,4,5] x, float[3] z", constants=arrays))[0] == body.split()[2]
    )
    body = "y, p, q = BatchNormalization <training_mode = 1> (x, s, b, m, v)"
    found = rewritten(BATCH_NORM_TO_CONV, body, "float[1,3,4,5] x", constants=arrays | {"s": weight(3)}, computes=False)
    assert ops(found) == ["BatchNormalization"]


# --- pools over three axes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"])
@pytest.mark.parametrize(
    "attributes", ["", "strides = [1, 2, 3]", "pads = [1, 0, 1, 0, 1, 1]", "dilations = [1, 2, 1]"]
)
def test_pools_over_three_axes(op, attributes):
    """Windows of 2 x 3 x 2 over 4 x 6 x 7; averages count the padding, as every tap counts once."""
    if op == "AveragePool":
        attributes = attributes.replace("dilations = [1, 2, 1]", "strides = [2, 2, 2]")
        attributes += f"{', ' if attributes else ''}count_include_pad = 1"
    given = "" if "Global" in op else f"<kernel_shape = [2, 3, 2]{', ' if attributes else ''}{attributes}>"
    found = rewritten(flatten_depth, f"y = {op} {given} (x)", "float[1,3,4,6,7] x")
    assert all(len(v.shape) == 4 for n in found.graph if "Pool" in n.op_type for v in (n.inputs[0], n.outputs[0]))
    assert ops(found).count(op) == (1 if "Global" in op else 2)
    assert [tuple(v.shape) for n in found.graph for v in n.outputs][-1] == tuple(found.graph.outputs[0].shape)


@pytest.mark.parametrize(
    ("body", "inputs", "outputs"),
    [
        ("y = MaxPool <kernel_shape = [2, 2]> (x)", "float[1,3,4,6] x", "y"),
        ("y = MaxPool <kernel_shape = [2]> (x)", "float[1,3,4] x", "y"),
        ("y = MaxPool <kernel_shape = [2, 2, 2]> (x)", "float[2,1,4,6,7] x", "y"),
        ("y, z = MaxPool <kernel_shape = [2, 2, 2]> (x)", "float[1,3,4,6,7] x", "y, int64[1,3,3,5,6] z"),
        ("y = Relu (x)", "float[1,3,4,6,7] x", "y"),
        ("y = GlobalMaxPool (x)", "float[2,3,4,6,7] x", "y"),
    ],
)
def test_pools_that_stay(body, inputs, outputs):
    assert len(ops(rewritten(flatten_depth, body, inputs, outputs))) == 1


def test_pools_of_another_domain_stay():
    found = rewritten(flatten_depth, "y = mine.GlobalMaxPool (x)", "float[1,3,4,6,7] x", "float[1,3,1,1,1] y", False)
    assert ops(found) == ["GlobalMaxPool"]


# --- padding in front of a maximum ------------------------------------------------------------------------------


def padded(pads, pool, size, axes=None, value=-1e9):
    """The pads of a MaxPool that took them, or None."""
    arrays = {"p": np.int64(pads), "v": np.float32(value)} | ({} if axes is None else {"axes": np.int64(axes)})
    body = f"a = Pad (x, p, v{'' if axes is None else ', axes'}) y = MaxPool <{pool}> (a)"
    found = rewritten(pad_max_pools, body, f"float{[1, 2, *size]} x", opset=18, constants=arrays)
    last = found.graph.node(len(found.graph) - 1)
    return last.attributes["pads"].value if last.inputs[0].name == "x" else None


@pytest.mark.parametrize(
    ("pads", "axes", "expected"),
    [
        ([1, 0, 0, 2], [2, 3], (1, 0, 0, 2)),
        ([1, 0, 0, 2], [-1, -2], (0, 1, 2, 0)),
        ([1, 2], [3], (0, 1, 0, 2)),
        ([0, 0, 2, 1, 0, 0, 1, 0], None, (2, 1, 1, 0)),
        ([0, 1, 2, 1, 0, 0, 1, 0], None, None),  # a channel more
        ([0, 0, 2, 1, 1, 0, 1, 0], None, None),
        ([0, 0, -1, 1, 0, 0, 1, 0], None, None),  # a row less
        ([0, 0, 0, 1, 0, 0, 1, 0], None, (0, 1, 1, 0)),
    ],
)
def test_padding_of_a_max_pool(pads, axes, expected):
    assert padded(pads, "kernel_shape = [3, 3]", (5, 6), axes) == expected


@pytest.mark.parametrize(
    ("pads", "expected"),
    [([1, 0], (1, 0)), ([2, 0], None), ([0, 1], (0, 1)), ([0, 2], None), ([1, 1], (1, 1)), ([3, 0], None)],
)
def test_padding_of_a_max_pool_is_less_than_its_kernel(pads, expected):
    """A window of two values, every other one of the row, so that it meets a value of x all the same."""
    found = padded([0, 0, pads[0], 0, 0, pads[1]], "kernel_shape = [2], dilations = [2]", (8,))
    assert found == expected


@pytest.mark.parametrize(("value", "goes"), [(-1e4, True), (-9999, False), (1e4, False), (-np.inf, True)])
def test_padding_of_a_max_pool_that_never_wins(value, goes):
    assert (padded([0, 0, 1, 0, 0, 0], "kernel_shape = [3]", (8,), value=value) is not None) is goes
