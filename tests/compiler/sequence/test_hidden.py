"""Hidden activations with outliers: which are equalized, and that they are computed of int16 by lines."""

import numpy as np
import pytest
from blocks import Block, Sequence
from on_device import check, drawn, run, snr
from small_graphs import model

from vla_isa.hardware import load
from vla_toolchain.verify.program import verify
from vlac import CompileOptions, compile_file
from vlac.quantize.equalize_rows import ChannelPeaks
from vlac.quantize.hidden import HiddenInputs, hidden_values, layer_error
from vlac.quantize.rounds import all_rounds

RNG = np.random.default_rng(0)
SIZE = np.where(np.arange(32) % 8 == 0, 20, 1).astype(np.float32)


def network(size, function="Gelu", tail=""):
    """Two layers with a function between, whose channels have these sizes."""
    constants = {
        "up": (RNG.standard_normal((16, 32)) / 4 * size).astype(np.float32),
        "down": (RNG.standard_normal((32, 8)) / size[:, None]).astype(np.float32),
    }
    body = f"p = MatMul(x, up) h = {function}(p) y = MatMul(h, down) {tail}"
    return model(body, "float[1,9,16] x", "y, z" if tail else "y", constants=constants, opset=23)


def samples(count=6):
    return [{"x": RNG.standard_normal((1, 9, 16)).astype(np.float32)} for _ in range(count)]


def worth(found):
    watched = HiddenInputs(found)
    channels = ChannelPeaks(found, watched.results)
    all_rounds(found, samples(), [watched, channels])
    return hidden_values(watched, channels.largest)


@pytest.mark.parametrize("function", ["Gelu", "Sigmoid", "Relu"])
def test_what_has_no_outliers_stays_a_table(function):
    assert worth(network(np.ones(32, np.float32), function)) == []


def test_outliers_are_equalized():
    assert worth(network(SIZE)) == ["h"]


@pytest.mark.parametrize("tail", ["z = Neg(h)", "z = Identity(h)"])
def test_not_where_others_read_it(tail):
    assert worth(network(SIZE, tail=tail)) == []


def test_the_error_is_that_of_the_rounded_layer():
    """Against rounding in plain numpy: of a function that keeps x, whose 8-bit table is x itself."""
    x, w = RNG.standard_normal((50, 32)) * SIZE, RNG.standard_normal((32, 8)) / SIZE[:, None]

    def eight_bits(a):
        low, high = a.min(), a.max()
        scale = (high - low) / 255
        zero = np.rint(-128 - low / scale)
        return (np.clip(np.rint(a / scale) + zero, -128, 127) - zero) * scale

    def columns(a):
        scale = np.abs(a).max(axis=0) / 127
        return np.rint(a / scale) * scale

    for t in (None, SIZE.astype(np.float64)):
        h, weights = (x, w) if t is None else (x / t, w * t[:, None])
        wanted = np.square(eight_bits(h) @ columns(weights) - x @ w).mean()
        assert np.isclose(layer_error(x, lambda v: v, w, x @ w, t), wanted, rtol=0.02)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_on_the_device(config):
    found = check(Block(outliers=True).model(), config, least=30.0)
    lines = [s for s in found.stages if s.kind == "lines"]
    assert len(lines) == 1 and lines[0].values == 13 * 120


@pytest.mark.parametrize("several", [False, True])
def test_a_clamp_with_outliers(several):
    """Of one layer the factors go into its weights; of a sum it is computed by lines, as others are."""
    g = Sequence("relu")
    y = g.norm(g.input("x", (1, 9, 24)), 24)
    size = np.where(np.arange(48) % 8 == 0, 20, 1).astype(np.float32)
    up = [g.linear(y, 24, 48, factor=size) for _ in range(1 + several)]
    hidden = g.node("Relu", [g.node("Add", up, 48) if several else up[0]], 48)
    found = check(g.finished(g.linear(hidden, 48, 16, factor=1 / size[:, None])), "tiny", over=4)
    assert [s.kind for s in found.stages].count("lines") == several


def test_it_costs_less(monkeypatch):
    block = Block(outliers=True).model()
    with_lines = run(block)
    monkeypatch.setattr("vlac.quantize.static.hidden_values", lambda *_: [])
    without = run(block)
    assert not [s for s in without.stages if s.kind == "lines"]
    name = next(iter(with_lines.wanted))
    assert snr(with_lines.wanted[name], with_lines.outputs[name]) > 1 + snr(without.wanted[name], without.outputs[name])


def test_verify_judges_lines_by_their_noise():
    """Between its points a line is off by more than one unit of channels made alike."""
    block, rng = Block(3, 14, 1, 1, outliers=True).model(), np.random.default_rng(1)
    options = CompileOptions(calibration=[drawn(block, rng) for _ in range(16)])
    found = verify(compile_file(block, load("tiny"), options), lambda _: None)
    assert max(row.check.largest for row in found.rows if row.check.name.startswith("gelu")) > 1
    assert not found.faults(exact=True)
