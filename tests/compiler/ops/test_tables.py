"""Unary functions: each as the table of a convolution, on its own, at the edge of its domain, and in chains."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph
from onnx.reference import ReferenceEvaluator
from parity import compile_proto, random_inputs, run_parity
from qdq_graphs import QdqBuilder, model_with

import vlarun
from vlac.device.conv import ConvOp
from vlac.device.vec import VecOp
from vlac.errors import CalibrationError, UnsupportedError

# operator -> (bounds that keep the input in the domain, attributes)
FUNCTIONS = {
    "Abs": (None, {}),
    "Acos": ((-0.9, 0.9), {}),
    "Acosh": ((1.0, 3.0), {}),
    "Asin": ((-0.9, 0.9), {}),
    "Asinh": (None, {}),
    "Atan": (None, {}),
    "Atanh": ((-0.9, 0.9), {}),
    "Ceil": (None, {}),
    "Celu": (None, {"alpha": 0.7}),
    "Cos": (None, {}),
    "Cosh": (None, {}),
    "Elu": (None, {"alpha": 0.5}),
    "Erf": (None, {}),
    "Exp": (None, {}),
    "Floor": (None, {}),
    "HardSigmoid": (None, {"alpha": 0.3, "beta": 0.4}),
    "HardSwish": (None, {}),
    "LeakyRelu": (None, {"alpha": -0.3}),
    "Log": ((0.2, 3.0), {}),
    "Mish": (None, {}),
    "Neg": (None, {}),
    "Reciprocal": ((0.5, 3.0), {}),
    "Round": (None, {}),
    "Selu": (None, {}),
    "Shrink": (None, {"bias": 0.2, "lambd": 0.4}),
    "Sign": (None, {}),
    "Sin": (None, {}),
    "Sinh": (None, {}),
    "Softplus": (None, {}),
    "Softsign": (None, {}),
    "Sqrt": ((0.0, 3.0), {}),
    "Tan": ((-1.0, 1.0), {}),
    "ThresholdedRelu": (None, {"alpha": 0.3}),
}
OPSETS = {"Gelu": 20, "HardSwish": 17, "Mish": 18}


def bounded(g, x, bounds):
    return x if bounds is None else g.node("Clip", [x, *(g.constant(np.float32(b)) for b in bounds)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_the_table_of_the_convolution_before(name):
    bounds, attributes = FUNCTIONS[name]

    def body(g, x):
        return g.node(name, [bounded(g, g.conv(x, 20, 1, relu=False), bounds)], **attributes)

    outcome = check_both(image_graph(body, size=(5, 7), opset=OPSETS.get(name, 17)))
    assert name not in outcome.packets


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate):
    model = image_graph(lambda g, x: g.node("Gelu", [g.conv(x, 20, 1, relu=False)], approximate=approximate), opset=20)
    assert "Gelu" not in check_both(model).packets


@pytest.mark.parametrize("name", ["Exp", "HardSwish", "Softsign"])
def test_of_a_tensor_that_others_read(name):
    outcome = check_both(image_graph(lambda g, x: g.node("Concat", [g.node(name, [x]), x], 40, axis=1)))
    assert name in outcome.packets


@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 4, 5), (2, 1, 3, 2, 4)], ids=str)
def test_any_shape(shape):
    g = GraphBuilder("shape")
    check_both(g.model(g.node("Elu", [g.input("x", shape)])))


@pytest.mark.parametrize("name", ["Log", "Reciprocal", "Acosh"])
def test_values_that_are_not_finite_in_calibration_are_refused(name):
    g = GraphBuilder("infinite")
    with pytest.raises(CalibrationError, match=f"value '{name.lower()}2' is not finite for the calibration data"):
        compile_proto(g.model(g.node(name, [g.conv(g.input("x", (1, 4, 5, 5)), 6, 1)])))


def table_of(name, scale, zero):
    """The table of a function of an int8 tensor, results with scale 0.05."""
    g = QdqBuilder("table")
    state = compile_proto(g.model(g.qdq(g.node(name, [g.qdq(g.input("x", (1, 8)), scale, zero)]), 0.05)), calib=None)
    (op,) = [op for op in state.graph.ops if isinstance(op, VecOp)]
    return op.table.astype(int)


@pytest.mark.parametrize(
    ("name", "zero", "expected"),
    [
        ("Log", 0, {-128: -128, 0: -128, 1: -60, 20: 0}),  # 0.05 * q
        ("Sqrt", 0, {-128: 0, -1: 0, 0: 0, 20: 20}),
        ("Reciprocal", 0, {-1: -128, 0: 127, 1: 127, 20: 20}),
        ("Acos", 0, {-128: 63, -21: 63, 20: 0, 127: 0}),
        ("Acosh", -20, {-128: 0, -1: 0, 0: 0}),
        ("Atanh", 0, {-128: -128, -20: -128, 20: 127, 127: 127}),
    ],
)
def test_outside_its_domain_a_function_saturates(name, zero, expected):
    table = table_of(name, 0.05, zero)
    assert {q: int(table[q + 128]) for q in expected} == expected


# --- chains -------------------------------------------------------------------------------------------------


def scalar(g, value):
    return g.constant(np.float32(value))


def silu(g, x):
    return g.node("Mul", [x, g.node("Sigmoid", [x])])


def hard_swish(g, x):
    return g.node("Mul", [g.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5), x])


def hard_swish_of_clip(g, x):
    inner = g.node("Clip", [g.node("Add", [x, scalar(g, 3)]), scalar(g, 0), scalar(g, 6)])
    return g.node("Div", [g.node("Mul", [x, inner]), scalar(g, 6)])


def gelu_of_erf(g, x):
    inner = g.node("Add", [g.node("Erf", [g.node("Div", [x, scalar(g, 2**0.5)])]), scalar(g, 1)])
    return g.node("Mul", [g.node("Mul", [x, inner]), scalar(g, 0.5)])


def gelu_of_tanh(g, x):
    cube = g.node("Mul", [g.node("Pow", [x, scalar(g, 3)]), scalar(g, 0.044715)])
    inner = g.node("Tanh", [g.node("Mul", [g.node("Add", [x, cube]), scalar(g, (2 / np.pi) ** 0.5)])])
    return g.node("Mul", [g.node("Mul", [x, scalar(g, 0.5)]), g.node("Add", [inner, scalar(g, 1)])])


def mish(g, x):
    return g.node("Mul", [x, g.node("Tanh", [g.node("Softplus", [x])])])


CHAINS = (silu, hard_swish, hard_swish_of_clip, gelu_of_erf, gelu_of_tanh, mish)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_is_one_table(chain):
    outcome = check_both(image_graph(lambda g, x: chain(g, g.conv(x, 20, 3, relu=False)), size=(5, 7)))
    assert {"Mul", "Div", "Sigmoid", "Tanh", "Erf"}.isdisjoint(outcome.packets)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_is_rounded_once(chain):
    """Its real values differ from the float model's by half a step of the result, for any input."""
    g = GraphBuilder("chain")
    model = g.model(chain(g, g.input("x", (1, 256))))
    program = compile_proto(model, calib="random:4").program
    (given,), (result,) = program.inputs, program.outputs
    x = ((np.arange(-128, 128) - given.zero_point) * np.float32(given.scale)).astype(np.float32)[None]
    found = vlarun.Session(program).run({"x": x})[result.name]
    wanted = ReferenceEvaluator(model).run(None, {"x": x})[0]
    low, high = ((b - result.zero_point) * result.scale for b in (-128, 127))
    assert np.abs(found - np.clip(wanted, low, high)).max() <= 0.501 * result.scale


def test_a_chain_behind_a_sum_of_two_tensors():
    """x * Sigmoid(x) of a residual sum: the sum itself stays a tensor."""

    def body(g, x):
        return silu(g, g.node("Add", [g.conv(x, 20, 3, relu=False), x]))

    assert "Sigmoid" not in check_both(image_graph(body)).packets


def test_a_value_inside_that_others_read_is_rounded():
    def body(g, x):
        gate = g.node("Sigmoid", [g.conv(x, 20, 1, relu=False)])
        return g.node("Concat", [g.node("Exp", [g.node("Neg", [gate])]), gate], 40, axis=1)

    check_both(image_graph(body))


def test_relu_in_front_stays_with_the_convolution():
    """The range in front of Relu would cost half the steps."""

    def body(g, x):
        return g.node("Sqrt", [g.node("Mul", [g.conv(x, 20, 3), scalar(g, 2)])])

    state = compile_proto(image_graph(body))
    (conv,) = [op for op in state.graph.ops if isinstance(op, ConvOp) and op.requant.table is not None]
    assert conv.requant.zero_point == -128


def test_an_output_inside_a_chain():
    def body(g):
        x = g.conv(g.input("x", (1, 5, 6, 6)), 8, 1, relu=False)
        inner = g.node("Sigmoid", [x])
        return g.model(inner, g.node("Mul", [x, inner]))

    check_both(body(GraphBuilder("output")))


def test_float_chain_in_a_quantized_model():
    """DQ -> Sigmoid -> Mul -> Q, as other quantizers leave it."""
    g = QdqBuilder("float")
    x = g.qdq(g.input("x", (1, 6, 5, 5)), 0.03, 4)
    run_parity(g.model(g.qdq(silu(g, x), 0.02, -100)), calib=None)


def test_silu_of_a_quantized_model_is_one_table_too():
    """x -> Q, DQ -> Sigmoid -> Q, DQ -> Mul with x -> Q, as ONNX Runtime's quantizer leaves it."""

    def body(g, x):
        y = g.qdq(g.node("Conv", [g.qdq(x, 0.02), g.weights((20, 12, 3, 3))], 20), 0.3, 5)
        gate = g.qdq(g.node("Sigmoid", [y]), 1 / 256, -128)
        return g.qdq(g.node("Mul", [y, gate]), 0.2, -100)

    packets = run_parity(model_with(body), calib=None).packets
    assert {"Sigmoid", "Mul"}.isdisjoint(packets)


def test_float_chain_that_joins_two_tensors_is_refused():
    g = QdqBuilder("float")
    x, y = (g.qdq(g.input(n, (1, 6)), 0.03, 4) for n in "xy")
    model = g.model(g.qdq(g.node("Mul", [g.node("Sigmoid", [x]), y]), 0.02))
    with pytest.raises(UnsupportedError, match="Mul 'mul5': its input 0 'sigmoid4' is not quantized"):
        compile_proto(model, calib=None)


def test_random_inputs_stay_in_range_of_the_table():
    program = compile_proto(image_graph(lambda g, x: g.node("Exp", [x]))).program
    outputs = vlarun.Session(program).run(random_inputs(program, 5))
    assert all(np.isfinite(v).all() for v in outputs.values())
