"""Multiplying and adding per channel around a layer goes into it: the rewritten model beside the source."""

import numpy as np
import pytest
from graphs import GraphBuilder
from source_parity import check_real, run_source

C = 6
SHAPES = {
    "Conv": (1, 4, 5, 5),
    "ConvTranspose": (1, 4, 5, 5),
    "Conv1d": (1, 4, 9),
    "Gemm": (3, 8),
    "MatMul": (3, 8),
    "MatMul3d": (1, 3, 8),
}
ROWS = ["Reshape", "Gemm", "Reshape"]


def layer(g, kind, x, *, group=1, bias=True, **attributes):
    """A layer of C channels."""
    b = [g.constant(g.weight(C))] if bias else []
    if kind.startswith("Conv"):
        kernel = [3] if kind == "Conv1d" else [3, 3]
        transposed = kind == "ConvTranspose"
        w = g.weight(4, C // group, *kernel) if transposed else g.weight(C, 4 // group, *kernel)
        return g.node("ConvTranspose" if transposed else "Conv", [x, g.constant(w), *b], C, group=group, **attributes)
    if kind == "Gemm":
        w = g.weight(C, 8) if attributes.get("transB") else g.weight(8, C)
        return g.node("Gemm", [x, g.constant(w), *b], C, **attributes)
    return g.node("MatMul", [x, g.constant(g.weight(8, C))], C)


def per_channel(g, kind, form="full", *, positive=False):
    """A constant per channel, or one for all, in one of the shapes that broadcast."""
    values = g.rng.standard_normal(1 if form == "scalar" else C).astype(np.float32)
    values = np.abs(values) + np.float32(0.5) if positive else values
    axes = len(SHAPES[kind]) - 2 if kind.startswith("Conv") else 0
    shape = () if form == "scalar" else (1,) * (form == "leading") + (-1,) + (1,) * axes
    return g.constant(values.reshape(shape))


def step(g, kind, op, y, form):
    if op == "BatchNormalization":
        values = [
            g.constant(v)
            for v in (*g.rng.standard_normal((3, C)).astype(np.float32), np.linspace(0.1, 2, C, dtype=np.float32))
        ]
        return g.node("BatchNormalization", [y, *values], C, epsilon=1e-3)
    if op == "Neg":
        return g.node("Neg", [y])
    c = per_channel(g, kind, form, positive=op == "Div")
    if op == "rSub":
        return g.node("Sub", [c, y], C)
    return g.node(op, [c, y] if op == "Mul" else [y, c], C)


BEFORE = {"Conv": "Conv", "Gemm": "Gemm", "MatMul": "Gemm"}


def before(g, kind, x):
    """A layer of as many channels as it reads."""
    n = SHAPES[kind][1]
    if kind == "Conv":
        return g.node("Conv", [x, g.constant(g.weight(n, n, 1, 1))], n)
    return g.node("Gemm", [x, g.constant(g.weight(n, n))], n)


def check_folded(model, operators):
    """The rewritten float model has these operators, and gives what the source gives."""
    state = check_real(model, 25)
    reference = state.quantized.reference
    assert sorted(n.op_type for n in reference.graph.node) == sorted(operators)
    rng = np.random.default_rng(3)
    inputs = {
        i.name: rng.standard_normal([d.dim_value for d in i.type.tensor_type.shape.dim]).astype(np.float32)
        for i in model.graph.input
    }
    wanted, found = run_source(model, inputs), run_source(reference, inputs)
    for name, values in wanted.items():
        assert np.abs(values - found[name]).max() <= 1e-4 * np.abs(values).max()


@pytest.mark.parametrize("form", ["full", "leading", "scalar"])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(
    "chain", [("Mul", "Add"), ("Add", "Mul"), ("Sub", "Div"), ("rSub", "Neg", "Mul", "Add")], ids="-".join
)
def test_behind_a_layer(kind, chain, form):
    if form == "leading" and kind == "MatMul":
        form = "full"
    g = GraphBuilder("behind", 5)
    y = layer(g, kind, g.input("x", SHAPES[kind]))
    for op in chain:
        y = step(g, kind, op, y, form)
    check_folded(
        g.model(y),
        {"Conv1d": ["Unsqueeze", "Conv", "Squeeze"], "MatMul": ["Gemm"], "MatMul3d": ROWS}.get(kind, [kind]),
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [("Conv", {"group": 2}), ("ConvTranspose", {}), ("Gemm", {"transB": 1, "alpha": 0.5, "beta": 2.0})],
)
def test_batch_normalization(kind, attributes, bias):
    g = GraphBuilder("batch norm", 6)
    y = layer(g, kind, g.input("x", SHAPES[kind]), bias=bias, **attributes)
    y = step(g, kind, "Mul", step(g, kind, "BatchNormalization", y, "full"), "full")
    check_folded(g.model(g.node("Relu", [y])), [kind, "Relu"])


def test_grouped_transposed_convolution():
    g = GraphBuilder("groups", 7)
    y = layer(g, "ConvTranspose", g.input("x", SHAPES["ConvTranspose"]), group=2)
    y = step(g, "ConvTranspose", "Add", step(g, "ConvTranspose", "BatchNormalization", y, "full"), "full")
    check_folded(g.model(y), ["ConvTranspose"])


def test_one_weight_of_two_layers_with_other_factors():
    g = GraphBuilder("shared", 8)
    x, w = g.input("x", SHAPES["Conv"]), g.constant(g.weight(C, 4, 3, 3))
    outs = [step(g, "Conv", "Mul", g.node("Conv", [x, w], C, strides=[s, s]), "full") for s in (1, 2)]
    check_folded(g.model(*outs), ["Conv", "Conv"])


@pytest.mark.parametrize("reader", ["another node", "an output"])
def test_values_that_are_read_elsewhere_stay(reader):
    g = GraphBuilder("read", 9)
    h = layer(g, "Conv", g.input("x", SHAPES["Conv"]))
    y = step(g, "Conv", "Mul", h, "full")
    outputs = [g.node("Add", [y, h])] if reader == "another node" else [y, h]
    check_folded(g.model(*outputs), ["Conv", "Mul", "Add"] if reader == "another node" else ["Conv", "Mul"])


@pytest.mark.parametrize("constant", [(1, 1, 3, 3), (1, 1, 1, 3), (3, 1)])
def test_what_is_not_per_channel_stays(constant):
    g = GraphBuilder("pixels", 10)
    h = layer(g, "Conv", g.input("x", SHAPES["Conv"]))
    c = g.constant(g.weight(*constant))
    check_folded(g.model(g.node("Mul", [h, c])), ["Conv", "Mul"])


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [("Conv", {"group": 2}), ("Gemm", {"transB": 1, "alpha": 0.5}), ("Gemm", {}), ("MatMul", {})],
)
def test_in_front_of_a_layer(kind, attributes):
    """Relu, then one factor and offsets per channel, then the layer."""
    g = GraphBuilder("front", 11)
    x = g.node("Relu", [before(g, kind, g.input("x", SHAPES[kind]))])
    n = SHAPES[kind][1]
    offset = g.rng.standard_normal(n).astype(np.float32)
    y = g.node("Mul", [x, g.constant(np.float32(-1.5))])
    y = g.node("Add", [y, g.constant(offset.reshape(-1, 1, 1) if kind == "Conv" else offset)])
    check_folded(g.model(layer(g, kind, y, **attributes)), [BEFORE[kind], "Relu", "Gemm" if kind == "MatMul" else kind])


@pytest.mark.parametrize(("op", "size", "pads"), [("Add", 4, [1, 1, 1, 1]), ("Mul", 4, [0, 0, 0, 0])])
def test_in_front_of_a_layer_where_it_is_not_exact(op, size, pads):
    """An offset does not reach the padding; factors per input channel would cost the small ones their bits."""
    g = GraphBuilder("front", 12)
    x = g.node("Relu", [before(g, "Conv", g.input("x", SHAPES["Conv"]))])
    y = g.node(op, [x, g.constant(np.linspace(0.5, 2, size, dtype=np.float32).reshape(-1, 1, 1))])
    check_folded(g.model(layer(g, "Conv", y, pads=pads)), ["Conv", "Relu", op, "Conv"])


def test_functions_of_a_model_input_stay():
    """They are the host's, in float: folded, one int8 scale would have to hold inputs in different units."""
    g = GraphBuilder("front", 13)
    y = g.node("Mul", [g.input("x", SHAPES["Conv"]), g.constant(np.float32(2))])
    check_folded(g.model(layer(g, "Conv", g.node("Relu", [y]))), ["Mul", "Relu", "Conv"])
    g = GraphBuilder("front", 13)
    y = g.node("Mul", [g.input("x", SHAPES["Conv"]), g.constant(np.float32(2))])
    check_folded(g.model(layer(g, "Conv", y)), ["Mul", "Conv"])


def test_in_front_of_a_layer_of_one_channel():
    g = GraphBuilder("front", 14)
    y = g.node("Conv", [g.input("x", (1, 4, 5, 5)), g.constant(g.weight(1, 4, 3, 3))], 1, pads=[1] * 4)
    y = g.node("Mul", [g.node("Relu", [y]), g.constant(np.float32(-1.5))])
    check_folded(g.model(g.node("Conv", [y, g.constant(g.weight(C, 1, 3, 3))], C)), ["Conv", "Relu", "Conv"])
