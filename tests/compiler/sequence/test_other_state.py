"""State that is no cache: of a recurrent layer, a stack of frames, an average; each run against float."""

import numpy as np
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError

RUNS = 8


def bounds(g, first, last, axis):
    return [g.constant(np.array([n])) for n in (first, last, axis)]


def recurrent(g):
    """Tanh: its range is known, that of an input is not."""
    both = g.node("Concat", [g.input("x", (1, 24)), g.input("state", (1, 40))], 64, axis=1)
    state = g.node("Tanh", [g.linear(both, 64, 40)], 40)
    return g.linear(state, 40, 8), state


def gated(g):
    """z * state + (1 - z) * tanh(...)."""
    both = g.node("Concat", [g.input("x", (1, 24)), g.input("state", (1, 40))], 64, axis=1)
    z, new = g.node("Sigmoid", [g.linear(both, 64, 40)], 40), g.node("Tanh", [g.linear(both, 64, 40)], 40)
    rest = g.node("Sub", [g.constant(np.float32(1)), z], 40)
    parts = [g.node("Mul", [z, "state"], 40), g.node("Mul", [rest, new], 40)]
    state = g.node("Add", parts, 40)
    return g.linear(state, 40, 8), state


def rows_of_frames(g):
    """The oldest row goes; pixels become channels in front of the layer."""
    x = g.node("Reshape", [g.input("x", (1, 24)), g.constant(np.array([1, 1, 24]))], 24)
    kept = g.node("Slice", [g.input("state", (1, 4, 24)), *bounds(g, 1, 4, 1)], 24)
    state = g.node("Concat", [kept, x], 24, axis=1)
    return g.linear(g.node("Reshape", [state, g.constant(np.array([1, 96]))], 96), 96, 8), state


def images(g):
    """Three channels of four frames: parts of a block."""
    kept = g.node("Slice", [g.input("state", (1, 12, 6, 6)), *bounds(g, 3, 12, 1)], 9)
    state = g.node("Concat", [kept, g.input("x", (1, 3, 6, 6))], 12, axis=1)
    weights = g.constant(g.normal(5, 12, 3, 3) / 10)
    return g.node("Conv", [state, weights], 5), state


def average(g):
    state = g.node("Add", [g.node("Mul", ["state", g.constant(np.float32(0.75))], 40), g.linear("x", 24, 40)], 40)
    g.input("x", (1, 24)), g.input("state", (1, 40))
    return g.linear(state, 40, 8), state


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("make", [recurrent, gated, rows_of_frames, images, average])
def test_runs_follow_each_other(make, config):
    g = Sequence(make.__name__)
    y, state = make(g)
    model = g.finished(y, state)
    reference, rng = Reference(model), np.random.default_rng(1)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}

    def runs():
        state_now = np.zeros(shapes["state"], np.float32)
        for _ in range(RUNS):
            given = {"x": rng.standard_normal(shapes["x"]).astype(np.float32), "state": state_now}
            made = reference.run(given)
            yield given, made[y]
            state_now = made[state]

    options = CompileOptions(calibration=[g for _ in range(12) for g, _ in runs()], carry={"state": state}, check=True)
    session = vlarun.Session(compile_file(model, load(config), options).program)
    wanted, found = [], []
    for given, made in runs():
        wanted.append(made)
        found.append(session.run({"x": given["x"]})[y])
    assert snr(np.stack(wanted), np.stack(found)) > 28


def test_an_order_that_differs_is_refused_in_words():
    """The machine writes pixels where it reads channels."""
    g = Sequence("turned")
    rows = g.node("Transpose", [g.input("state", (1, 3, 4, 8))], 8, perm=[0, 2, 1, 3])
    x = g.linear(g.node("Reshape", [rows, g.constant(np.array([1, 4, 24]))], 24), 24, 24)
    state = g.node("Reshape", [g.node("Tanh", [x], 24), g.constant(np.array([1, 3, 4, 8]))], 8)
    model = g.finished(g.linear(x, 24, 3), state)
    with pytest.raises(UnsupportedError, match="in another order"):
        compile_file(model, load("tiny"), CompileOptions(calibration="random:4", carry={"state": state}))
