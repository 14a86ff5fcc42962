"""A repeated model as one program with a LOOP: the same bytes as its runs one after the other."""

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa import hazards, timing
from vla_isa.hardware import load
from vla_isa.trace import walk
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError, UnsupportedError

ROWS, KEYS, D, HEADS, STEPS = 9, 6, 32, 2, 10
INT64 = onnx.TensorProto.INT64


def flow(steps=STEPS):
    """One Euler step of a small flow policy: cross attention over a condition, a row of time for each step."""
    g = Sequence("flow")
    x, condition = g.input("x", (1, ROWS, D)), g.input("condition", (1, KEYS, D))
    g.inputs.append(onnx.helper.make_tensor_value_info("step", INT64, (1,)))
    seen = g.norm(condition, D)
    k, v = (g.linear(seen, D, D) for _ in range(2))
    time = g.node("Gather", [g.constant(g.normal(steps, D)), "step"], D)
    y = g.node("Add", [g.norm(x, D), g.node("Reshape", [time, g.constant(np.array([1, 1, D]))], D)], D)
    a = g.node("Attention", [g.linear(y, D, D), k, v], D, q_num_heads=HEADS, kv_num_heads=HEADS)
    hidden = g.node("Gelu", [g.linear(a, D, 2 * D)], 2 * D)
    velocity = g.linear(hidden, 2 * D, D)
    dt = g.node("Mul", [velocity, g.constant(np.float32(1 / STEPS))], D)
    return g.finished(g.node("Add", [x, dt], D))


def samples(model, rng, count):
    """Inputs of all steps of some trajectories, and where each begins and ends in float."""
    reference, found = Reference(model), []
    for _ in range(count):
        x, condition = (rng.standard_normal((1, n, D)).astype(np.float32) for n in (ROWS, KEYS))
        for step in range(STEPS):
            found.append({"x": x, "condition": condition, "step": np.array([step])})
            (x,) = reference.run(found[-1]).values()
        found.append({"x": x})
    return found


def compiled(config="tiny", steps=STEPS, **how):
    model, rng = flow(steps), np.random.default_rng(1)
    calibration = [s for s in samples(flow(), rng, 8) if "step" in s]
    carry = {"x": model.graph.output[0].name}
    return compile_file(
        model, load(config), CompileOptions(calibration=calibration, carry=carry, check=True, **how)
    ).program


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_a_loop_is_its_runs_one_after_the_other(config):
    once, looped = compiled(config), compiled(config, repeat=STEPS, counter="step")
    *inputs, end = samples(flow(), np.random.default_rng(2), 1)
    session = vlarun.Session(once)
    for i, step in enumerate(inputs):
        wanted = session.run({n: a for n, a in step.items() if n != "x" or i == 0})
    found = vlarun.Session(looped).run({n: inputs[0][n] for n in ("x", "condition")})
    assert found.keys() == wanted.keys() and all(np.array_equal(found[n], wanted[n]) for n in found)
    assert snr(end["x"], next(iter(found.values()))) > 20
    hazards.check(looped)


def test_what_does_not_depend_on_the_state_runs_once():
    """The condition's norm, keys and values, and their copies into weights."""
    once, looped = compiled(), compiled(repeat=STEPS, counter="step")
    packets = [len(list(walk(p, 0))) for p in (once, looped)]
    assert packets[1] < 0.8 * STEPS * packets[0]
    assert timing.estimate(looped).total_cycles < STEPS * timing.estimate(once).total_cycles


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"repeat": STEPS, "counter": "x"}, "one int32 or int64"),
        ({"repeat": STEPS, "counter": "y"}, "no such input"),
        ({"repeat": 0}, "--repeat 0"),
    ],
)
def test_refused(how, text):
    with pytest.raises(ModelError, match=text):
        compiled(**how)


def test_too_few_rows_are_refused():
    with pytest.raises(UnsupportedError, match="has 10 rows; 11 runs"):
        compiled(repeat=STEPS + 1, counter="step")


def test_nothing_carried_is_refused():
    with pytest.raises(ModelError, match="no state is carried"):
        compile_file(flow(), load("tiny"), CompileOptions(calibration="random:1", repeat=2))
