"""Elements divided by computed numbers, one or one for each row, channel or pixel: a product with reciprocals."""

import numpy as np
import pytest
from graphs import GraphBuilder
from parity import check_rtl

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError


def divided(shape, *, device, of=(1, 8, 6, 6)):
    """Of an input, or of a mean that the device computes, which is between about 1 and 3."""
    g = GraphBuilder("divided")
    x = g.input("x", of)
    y = g.conv(x, 8)
    if not device:
        return g.model(g.node("Div", [y, g.input("s", shape)], 8), opset=18)
    mean = g.node("GlobalAveragePool", [g.conv(x, 1)], 1)
    number = g.node("Reshape", [g.node("Exp", [g.node("Sigmoid", [mean], 1)], 1), g.constant(np.array(shape))], 1)
    return g.model(g.node("Div", [y, number], 8), opset=18)


def some(model, seed, count):
    rng = np.random.default_rng(seed)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return [
        {
            n: (rng.uniform(1, 3, s) if n == "s" else rng.standard_normal(s)).astype(np.float32)
            for n, s in shapes.items()
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("device", [False, True], ids=["input", "device"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1,)], ids=str)
def test_beside_float(shape, device):
    """Measured 35.3 to 37.2 dB."""
    assert_near(divided(shape, device=device))


def assert_near(model):
    """Near the float model, and the same on the Verilog machine; the last output."""
    state = compile_file(model, load("tiny"), CompileOptions(calibration=some(model, 1, 12), check=True))
    session, reference, powers = vlarun.Session(state.program), Reference(model), np.zeros(2)
    for inputs in some(model, 2, 4):
        (wanted,), (found,) = reference.run(inputs).values(), session.run(inputs).values()
        powers += np.square(wanted).sum(), np.square(wanted - found).sum()
    assert 10 * np.log10(powers[0] / powers[1]) > 30
    check_rtl(state, some(model, 3, 1)[0])
    return found


def by_sum(axis, of):
    """Shares of positive numbers along an axis, as of scores that are no softmax's."""
    g = GraphBuilder("shares")
    x = g.input("x", of)
    y = g.node("Sigmoid", [g.conv(x, 8) if len(of) == 4 else x], of[-1])
    total = g.node("ReduceSum", [y, g.constant(np.array([axis]))], 1, keepdims=1)
    return g.model(g.node("Div", [y, total], of[-1]), opset=18)


@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (1, 1, 6, 6)], ids=str)
def test_a_number_for_each_channel_or_pixel(shape):
    """Measured 36.2 and 36.9 dB."""
    assert_near(divided(shape, device=False))


@pytest.mark.parametrize(("axis", "of"), [(-1, (1, 9, 24)), (-1, (9, 24)), (1, (1, 8, 6, 6))], ids=str)
def test_shares_of_a_sum(axis, of):
    """Measured 41.3 to 46.8 dB; rows and pixels of the last run sum up to 1."""
    model = by_sum(axis, of)
    found = assert_near(model)
    assert np.abs(found.sum(axis) - 1).max() < 0.05


def test_rows_of_an_image_are_refused():
    with pytest.raises(UnsupportedError, match=r"one for each row, channel or pixel\. Found computed divisor"):
        compile_file(by_sum(3, (1, 8, 6, 6)), load("tiny"), CompileOptions(calibration="random:4"))
