"""Networks in pixels x channels: their Transposes go, and what they compute stays, in ONNX Runtime."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from graphs import GraphBuilder
from onnx import TensorProto, helper

from vla_isa import hardware
from vlac import CompileOptions, compile_file
from vlac.import_onnx import parse_model
from vlac.rewrite import rewrite_float
from vlac.rewrite.axis_order import turn_regions

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def run(model, x):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})


def turned(model):
    """The model after this rewrite alone; it computes the same under the same names."""
    parsed, _ = parse_model(model, "test")
    turn_regions(parsed)
    found = ir.to_proto(parsed)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(found, strict_mode=True), full_check=True)
    assert [o.name for o in found.graph.output] == [o.name for o in model.graph.output]
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for wanted, given in zip(run(model, x), run(found, x), strict=True):
        assert np.allclose(wanted, given, rtol=1e-4, atol=1e-5)
    return found


def transposes(model):
    return Counter(n.op_type for n in model.graph.node)["Transpose"]


class Net(GraphBuilder):
    """Layers as a framework of channels-last order exports them."""

    def layer(self, x, channels, kernel=3):
        """Transpose, Conv, Transpose, then bias and batch norm as Add, Sub, Mul, Add of one number a channel."""
        y = self.node("Transpose", [x], self.channels[x], perm=FIRST)
        w = self.constant(self.weight(channels, self.channels[x], kernel, kernel))
        y = self.node("Conv", [y, w], channels, pads=[kernel // 2] * 4)
        y = self.node("Transpose", [y], channels, perm=LAST)
        for op in ("Add", "Sub", "Mul", "Add"):
            y = self.node(op, [y, self.constant(self.rng.uniform(0.5, 1.5, channels).astype(np.float32))], channels)
        return y

    def last(self, name, shape):
        """An input of pixels x channels."""
        self.input(name, shape)
        self.channels[name] = shape[-1]
        return name


def residual(*, pool=True):
    g = Net("residual")
    x = g.last("x", (1, 12, 10, 3))
    y = g.node("Relu", [g.layer(x, 8)], 8)
    for _ in range(2):
        inner = g.layer(g.node("Relu", [g.layer(y, 8, 1)], 8), 8)
        y = g.node("Relu", [g.node("Add", [inner, y], 8)], 8)
    return g.model(g.node("ReduceMean", [y], 8, axes=[1, 2], keepdims=0) if pool else y)


def test_a_residual_network_keeps_one_transpose(tmp_path):
    """That at its input; batch norm goes into the layers, and the device takes what is left."""
    assert transposes(residual()) == 10 and transposes(turned(residual())) == 1
    rewritten = rewrite_float(parse_model(residual(), "test")[0])
    assert Counter(n.op_type for n in rewritten.graph) == {
        "Transpose": 1,
        "Conv": 5,
        "Relu": 5,
        "Add": 2,
        "ReduceMean": 1,
    }
    onnx.save(residual(), tmp_path / "m.onnx")
    compile_file(tmp_path / "m.onnx", hardware.load("tiny"), CompileOptions(calibration="random:2"))


def test_an_output_keeps_its_order():
    found = turned(residual(pool=False))
    assert transposes(found) == 2 and found.graph.node[-1].op_type == "Transpose"


@pytest.mark.parametrize(
    ("op", "attributes", "more"),
    [
        ("Pad", {}, [np.array([0, 1, 2, 0, 0, 3, 0, 0]), np.float32(0.5)]),
        ("Pad", {"mode": "reflect"}, [np.array([0, 1, 2, 0, 0, 3, 0, 0])]),
        ("Clip", {}, [np.float32(-0.5), np.float32(0.7)]),
        ("PRelu", {}, [np.linspace(-1, 1, 8, dtype=np.float32)]),
        ("Mul", {}, [np.linspace(-1, 1, 80, dtype=np.float32).reshape(10, 8)]),
        ("Add", {}, [np.linspace(-1, 1, 960, dtype=np.float32).reshape(1, 12, 10, 8)]),
        ("Pow", {}, [np.float32(2)]),
    ],
)
def test_operators_with_constants(op, attributes, more):
    """Every axis is told from the others: 12 rows, 10 columns, 8 channels."""
    g = Net("constants")
    y = g.layer(g.last("x", (1, 12, 10, 3)), 8)
    model = g.model(g.layer(g.node(op, [y, *map(g.constant, more)], 8, **attributes), 4))
    assert transposes(turned(model)) == 2  # those of the input and of the output


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concat(axis):
    g = Net("concat")
    x = g.last("x", (1, 12, 10, 3))
    y = g.node("Concat", [g.layer(x, 8), g.layer(x, 8)], 16 if axis % 4 == 3 else 8, axis=axis)
    assert transposes(turned(g.model(g.layer(y, 4)))) < 8


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[1, 2], [3], [-1], [1], [0, 2], [1, 3]])
def test_reductions_behind_a_region(axes, keep):
    g = Net("reduce")
    y = g.node("Relu", [g.layer(g.layer(g.last("x", (1, 12, 10, 3)), 8), 6)], 6)
    turned(g.model(g.node("ReduceMean", [y], axes=axes, keepdims=keep)))


def test_a_reduction_whose_axes_are_an_input():
    g = Net("reduce")
    y = g.node("Relu", [g.layer(g.layer(g.last("x", (1, 12, 10, 3)), 8), 6)], 6)
    model = g.model(g.node("ReduceSum", [y, g.constant(np.array([-3, 2]))], 6, keepdims=0))
    assert transposes(turned(model)) == 1


def test_what_works_already_is_left_alone():
    """Normalization in front of the one Transpose of a model that is otherwise in channels first order."""
    g = Net("input")
    x = g.last("x", (1, 12, 10, 3))
    y = g.node("Sub", [x, g.constant(np.float32([0.4, 0.5, 0.6]))], 3)
    y = g.node("Conv", [g.node("Transpose", [y], 3, perm=FIRST), g.constant(g.weight(8, 3, 3, 3))], 8)
    model = g.model(g.node("Transpose", [g.node("Relu", [y], 8)], 8, perm=LAST))
    assert transposes(turned(model)) == 2


def conv_last(g):
    """A layer whose result is turned to pixels x channels, in a network of channels x pixels."""
    x = "x" if g.inputs else g.input("x", (1, 3, 12, 10))
    y = g.node("Conv", [x, g.constant(g.weight(8, 3, 1, 1))], 8)
    return g.node("Transpose", [y], 8, perm=LAST)


def test_results_that_others_read_count():
    """One Transpose in front is better than one behind each of three results."""
    g = Net("others")
    y = conv_last(g)
    parts = [y := g.node(op, [y], 8) for op in ("Relu", "Sigmoid", "Tanh")]
    out = g.node("Sum", [g.node("Softmax", [p], 8, axis=-1) for p in parts], 8)
    assert transposes(turned(g.model(out))) == 1


def test_sources_of_another_order_count():
    """One Transpose behind the layer is better than one behind each of the others that are added."""
    g = Net("sources")
    total, other = conv_last(g), conv_last(g)
    for axis in (1, 2, 3):
        total = g.node("Add", [total, g.node("Softmax", [other], 8, axis=axis)], 8)
    model = g.model(g.node("ReduceMean", [total], 8, axes=[1, 2], keepdims=0))
    assert transposes(turned(model)) == 2


@pytest.mark.parametrize("seed", range(40))
def test_random_regions(seed):
    """Layers, functions, sums of any two values, second outputs: the same numbers, never more Transposes inside."""
    rng = np.random.default_rng(seed)
    g = Net("random", seed)
    values = [g.layer(g.last("x", (1, 7, 6, 3)), 5)]
    for _ in range(int(rng.integers(2, 9))):
        a, b = (values[int(rng.integers(len(values)))] for _ in range(2))
        kind = rng.integers(6)
        if kind == 0:
            values.append(g.layer(a, 5))
        elif kind == 1:
            values.append(g.node(str(rng.choice(["Relu", "Sigmoid", "HardSwish", "Neg"])), [a], 5))
        elif kind == 2:
            values.append(g.node("Transpose", [g.node("Transpose", [a], 5, perm=FIRST)], 5, perm=LAST))
        elif kind == 3:
            values.append(g.node("Mul", [a, g.constant(rng.uniform(0.5, 2, 5).astype(np.float32))], 5))
        else:
            values.append(g.node(str(rng.choice(["Add", "Mul", "Max", "Sub"])), [a, b], 5))
    ends = list(dict.fromkeys([values[-1], values[int(rng.integers(len(values)))]]))
    model = g.model(ends[0])
    for name in ends[1:]:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 7, 6, 5)))
    assert inner(turned(model)) <= inner(model)


def inner(model):
    """Transposes that are neither of the input nor make an output: any order is free there."""
    ends = {"x", *(o.name for o in model.graph.output)}
    return sum(n.op_type == "Transpose" and not ends & {n.input[0], n.output[0]} for n in model.graph.node)


def test_what_comes_from_another_order_is_turned():
    """Two sources lose their Transposes and so does the result; the third, of a MatMul, gets one."""
    g = GraphBuilder("mixed")
    x = g.input("x", (1, 4, 6, 5))
    a, b = (
        g.node("Transpose", [g.node("Conv", [x, g.constant(g.weight(8, 4, 3, 3))], 8, pads=[1] * 4)], 8, perm=LAST)
        for _ in range(2)
    )
    rows = g.node("Transpose", [x], 4, perm=LAST)
    c = g.node("MatMul", [rows, g.constant(g.weight(4, 8))], 8)
    y = g.node("Add", [g.node("Add", [a, b], 8), c], 8)
    y = g.node("Transpose", [y], 8, perm=FIRST)
    model = g.model(g.node("Conv", [y, g.constant(g.weight(3, 8, 1, 1))], 3))
    assert transposes(model) == 4 and transposes(turned(model)) == 2
