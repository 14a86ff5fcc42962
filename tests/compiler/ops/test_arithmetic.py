"""Sub, Div, Pow, Max, Min, Sum, Mean and Cast, and how operands of Add, Sub, Mul, Max and Min are spread."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from parity import compile_proto, random_inputs, run_parity

import vlarun

BINARY = ("Add", "Sub", "Mul", "Max", "Min")


def settled(g, x):
    """x with nothing behind it that could take a constant or a table."""
    return g.node("MaxPool", [x], kernel_shape=[1, 1])


@pytest.mark.parametrize("name", BINARY)
def test_two_tensors(name):
    def body(g, x):
        y = g.conv(x, 20, 3, relu=False)
        return g.conv(g.node("Concat", [g.node(name, [x, y]), y], 40, axis=1), 4, 1)

    assert name in check_both(image_graph(body)).packets


@pytest.mark.parametrize("name", BINARY)
def test_vectors_and_matrices(name):
    g = GraphBuilder("vectors")
    a, b = (g.input(n, (1, 40)) for n in "ab")
    c, d = (g.input(n, (2, 3, 4, 5)) for n in "cd")
    check_both(g.model(g.node(name, [a, b]), g.node(name, [c, d])))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [(), (20, 1, 1), (1, 20, 11, 13), (1, 1, 11, 13), (13,)], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_constants(name, shape, first):
    def body(g, x):
        operands = [settled(g, x), g.constant(g.rng.standard_normal(shape).astype(np.float32))]
        return g.node(name, operands[::-1] if first else operands)

    run_parity(image_graph(body))


@pytest.mark.parametrize("shape", [(20, 1, 1), (1, 20, 11, 13), (13,)], ids=str)
def test_division_by_constants(shape):
    def body(g, x):
        divisors = g.rng.uniform(0.5, 4, shape) * g.rng.choice([-1, 1], shape)
        return g.node("Div", [settled(g, x), g.constant(divisors.astype(np.float32))])

    run_parity(image_graph(body))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [(1, 20, 1, 1), (20, 1, 1), (1, 1, 11, 13), (1, 1, 1, 1), (1,), ()], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_computed_operands_that_are_spread(name, shape, first):
    """One value per channel, per pixel, or in all."""

    def body(g, x):
        operands = [settled(g, x), g.input("other", shape)]
        return g.node(name, operands[::-1] if first else operands)

    run_parity(image_graph(body))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [(6,), (1, 1, 6), (4, 5, 1), (1, 1, 1)], ids=str)
def test_matrix_operands_that_are_spread(shape, first):
    g = GraphBuilder("spread")
    operands = [g.input("x", (4, 5, 6)), g.input("other", shape)]
    run_parity(g.model(g.node("Sub", operands[::-1] if first else operands)))


# --- Max, Min, Sum, Mean ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Max", "Min", "Sum", "Mean"])
def test_a_tensor_and_a_scalar(name):
    def body(g, x):
        return g.node(name, [settled(g, x), g.constant(np.float32(0.4))])

    model = image_graph(body)
    check_both(model)
    program = compile_proto(model, "u50").program
    inputs = random_inputs(program, 1)
    (found,) = vlarun.Session(program, backend="sim").run(inputs).values()
    (expected,) = ReferenceEvaluator(model).run(None, inputs)
    assert np.abs(np.clip(expected, found.min(), found.max()) - found).max() <= 4 * program.outputs[0].scale


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["Max", "Min", "Sum", "Mean"])
def test_any_number_of_operands(name, count):
    def body(g, x):
        return g.node(name, [g.conv(x, 20, 1, relu=False) for _ in range(count)])

    check_both(image_graph(body, size=(5, 7)))


def test_max_with_a_constant_among_others():
    def body(g, x):
        return g.node("Max", [g.conv(x, 20, 1), g.constant(np.float32(0.2)), g.conv(x, 20, 1)])

    check_both(image_graph(body, size=(5, 7)))


# --- Div and Pow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("divisor", [np.float32(3), np.linspace(0.5, 4, 20, dtype=np.float32).reshape(20, 1, 1)])
def test_div_by_a_constant(divisor):
    check_both(image_graph(lambda g, x: g.node("Div", [settled(g, x), g.constant(divisor)]), size=(5, 7)))


def test_div_of_a_constant():
    def body(g, x):
        bounded = g.node("Clip", [g.conv(x, 20, 1), g.constant(np.float32(0.5)), g.constant(np.float32(2))])
        return g.node("Div", [g.constant(np.float32(1)), settled(g, bounded)])

    check_both(image_graph(body, size=(5, 7)))


def test_div_of_two_functions_of_one_tensor():
    def body(g, x):
        y = g.conv(x, 20, 1, relu=False)
        return g.node("Div", [y, g.node("Add", [g.node("Abs", [y]), g.constant(np.float32(1))])])

    check_both(image_graph(body, size=(5, 7)))


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5])
def test_pow(exponent):
    def body(g, x):
        low = g.constant(np.float32(0.25 if exponent < 1 else -3))
        bounded = g.node("Clip", [g.conv(x, 20, 1, relu=False), low, g.constant(np.float32(3))])
        return g.node("Pow", [settled(g, bounded), g.constant(np.float32(exponent))])

    check_both(image_graph(body, size=(5, 7)))


def test_pow_of_a_constant_and_an_integer_exponent():
    g = GraphBuilder("pow")
    x = g.input("x", (1, 20))
    check_both(g.model(g.node("Pow", [g.constant(np.float32(2)), x]), g.node("Pow", [x, g.constant(np.int64(2))])))


# --- Cast ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_cast_of_an_output(kind):
    g = GraphBuilder("cast")
    model = g.model(g.node("Cast", [g.conv(g.input("x", (1, 5, 6, 6)), 8, 3)], to=kind))
    program = compile_proto(model).program
    (values,) = vlarun.Session(program).run(random_inputs(program)).values()
    assert values.dtype == helper.tensor_dtype_to_np_dtype(kind)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_cast_and_back_between_layers(kind):
    def body(g, x):
        return g.conv(g.node("Cast", [g.node("Cast", [x], to=kind)], to=TensorProto.FLOAT), 8, 3)

    assert "Cast" not in check_both(image_graph(body)).packets


def test_another_float_type_between_layers_is_refused():
    g = GraphBuilder("cast")
    y = g.node("Relu", [g.node("Cast", [g.input("x", (1, 8))], to=TensorProto.DOUBLE)])
    g.types[y] = TensorProto.DOUBLE
    refused(g.model(y), "Cast 'cast0'", "must be a model output or be cast again", "DOUBLE in front of Relu 'relu1'")


@pytest.mark.parametrize("name", ["Sub", "Mul", "Max"])
def test_a_constant_for_a_flattened_image(name):
    """Its values are stored in the order in which the image lies."""

    def body(g, x):
        return g.node(name, [g.node("Flatten", [settled(g, x)]), g.constant(g.weight(1, 27))])

    check_both(image_graph(body, 3, (3, 3)))


def test_a_cast_to_integers_and_back_is_no_cast_between_floats():
    """It rounds to whole numbers; it must not fall away."""

    def body(g, x):
        return g.conv(g.node("Cast", [g.node("Cast", [x], to=TensorProto.INT32)], to=TensorProto.FLOAT), 8, 3)

    refused(image_graph(body), "Cast x 2 ('cast1', 'cast2')", "INT32")


def test_a_mean_of_two_is_one_instruction():
    """Only more than two are split into steps."""
    g = GraphBuilder("two")
    packets = check_both(g.model(g.node("Mean", [g.input(n, (1, 20, 11, 13)) for n in "ab"], 20))).packets
    assert [op for op in packets if not op.startswith(("load", "store"))].count("Mean") == 1
    assert "Mul" not in packets and "Add" not in packets
