"""GroupNormalization, InstanceNormalization and LRN: several nodes each, the same in float, and on the device."""

import numpy as np
import pytest
from graphs import GraphBuilder
from parity import compile_proto, random_inputs
from rewritten import ops, rewritten

import vlarun
from vla_isa import hazards
from vla_toolchain.verify.reference import Reference
from vlac.rewrite.group_norm_steps import expand_group_norms
from vlac.rewrite.lrn_to_conv import expand_lrn
from vlac.rewrite.sequence.group_norm import recover_group_norms

ROWS = "LayerNormalization"


def group_norm(g, x, channels, groups, shape):
    """As exporters write it."""
    split = g.node("Reshape", [x, g.constant(np.array([0, groups, -1]))])
    ones = np.ones(groups, np.float32)
    y = g.node("InstanceNormalization", [split, g.constant(ones), g.constant(0 * ones)], epsilon=1e-3)
    y = g.node("Reshape", [y, g.constant(np.array([1, channels, *shape]))], channels)
    for op, middle in (("Mul", 1.0), ("Add", 0.0)):
        values = middle + 0.3 * g.rng.standard_normal((channels, *(1 for _ in shape)))
        y = g.node(op, [y, g.constant(values.astype(np.float32))], channels)
    return y


def model_of(body, channels, shape):
    """A layer, the norm, Relu and another layer."""
    g = GraphBuilder("norm")
    kernel = len(shape)
    x = g.input("x", (1, 8, *shape))
    weights = [g.constant(g.weight(n, k, *(3,) * kernel)) for n, k in ((channels, 8), (8, channels))]
    x = g.node("Conv", [x, weights[0]], channels, pads=[1] * 2 * kernel)
    y = g.node("Relu", [body(g, x)], channels)
    return g.model(g.node("Conv", [y, weights[1]], 8, pads=[1] * 2 * kernel))


def snr(wanted, found):
    """Signal to noise in dB."""
    return 10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum())


def check(model, config, least=26.0):
    """Close to float, on a sample that calibration did not see; returns the nodes that packets come from."""
    compilation = compile_proto(model, config, calib="random:32")
    inputs = random_inputs(compilation.program, seed=5)
    outputs = vlarun.Session(compilation.program, backend="sim").run(inputs)
    wanted = Reference(model).run(inputs)
    assert min(snr(wanted[name], outputs[name]) for name in wanted) >= least
    hazards.check(compilation.program)
    return {s.op for s in compilation.program.sources}


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize(
    ("channels", "groups", "shape", "rows"),
    [
        (32, 2, (6, 7), True),
        (64, 4, (7, 7), True),
        (32, 1, (5, 4), True),
        (64, 2, (16,), True),  # a U-Net over time
        (32, 8, (6, 6), False),  # a group ends inside a word
        (24, 1, (6, 6), False),
        (16, 1, (23, 24), False),  # more than a row
    ],
)
def test_groups(config, channels, groups, shape, rows):
    """Rows of exact statistics where groups are whole words and fit, else averages."""
    found = check(model_of(lambda g, x: group_norm(g, x, channels, groups, shape), channels, shape), config)
    assert (ROWS in found) == rows and ("GlobalAveragePool" in found) != rows


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("shape", [(9, 10), (20,)], ids=str)
def test_planes(config, shape):
    def body(g, x):
        values = (m + 0.3 * g.rng.standard_normal(20) for m in (1, 0))
        return g.node("InstanceNormalization", [x, *(g.constant(v.astype(np.float32)) for v in values)], 20)

    check(model_of(body, 20, shape), config)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize(
    ("size", "more"), [(5, {}), (3, {"alpha": 0.5, "bias": 2.0}), (1, {"beta": 1.0, "alpha": 1.0})]
)
def test_windows_of_channels(config, size, more):
    check(model_of(lambda g, x: g.node("LRN", [x], 20, size=size, **more), 20, (9, 10)), config)


def test_they_are_the_same_in_float():
    x = "float[1,12,5,3] x"
    for text in ("size = 3, alpha = 0.7, beta = 0.6, bias = 1.5", "size = 7", "size = 1"):
        found = rewritten(expand_lrn, f"y = LRN <{text}> (x)", x)
        assert ops(found) == ["Mul", "Conv", "Add", "Pow", "Mul"]

    def split(model):
        recover_group_norms(model)
        expand_group_norms(model)

    values = ", ".join(str(round(v, 2)) for v in np.linspace(0.5, 2, 12))
    body = f"s = Constant <value_floats = [{values}]> () y = InstanceNormalization <epsilon = 0.01> (x, s, s)"
    assert "LRN" not in ops(rewritten(split, body, x))


def test_what_is_not_one_image_stays():
    assert ops(rewritten(expand_lrn, "y = LRN <size = 3> (x)", "float[2,12,5,3] x")) == ["LRN"]
