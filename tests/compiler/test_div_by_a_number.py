"""Several elements divided by one number that is computed: a product with its reciprocal."""

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
    model = divided(shape, device=device)
    state = compile_file(model, load("tiny"), CompileOptions(calibration=some(model, 1, 12), check=True))
    session, reference, powers = vlarun.Session(state.program), Reference(model), np.zeros(2)
    for inputs in some(model, 2, 4):
        (wanted,), (found,) = reference.run(inputs).values(), session.run(inputs).values()
        powers += np.square(wanted).sum(), np.square(wanted - found).sum()
    assert 10 * np.log10(powers[0] / powers[1]) > 30
    check_rtl(state, some(model, 3, 1)[0])


def test_a_number_for_each_channel_is_refused():
    model = divided((1, 8, 1, 1), device=False)
    with pytest.raises(UnsupportedError, match=r"one number that is computed\. Found computed divisor 's'"):
        compile_file(model, load("tiny"), CompileOptions(calibration=some(model, 1, 4)))
