"""A router on the device: the largest of its logits chooses rows of tables."""

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file

D, EXPERTS = 24, 11


def routed(length, *, behind=True):
    g = Sequence("routed")
    x = g.input("x", (1, length, D))
    logits = g.node("MatMul", [x, g.constant(np.eye(D, EXPERTS, dtype=np.float32))], EXPERTS)
    number = g.node("ArgMax", [logits], 1, axis=2, keepdims=0)
    rows = g.node("Gather", [g.constant(g.normal(EXPERTS, D)), number], D)
    return g.finished(g.node("Add", [x, g.linear(rows, D, D)], D) if behind else rows)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("length", [1, 7])
def test_the_rows_of_every_number(length, config):
    """Logits are the first channels: each number in turn is the largest; of equal ones the first."""
    model, rng = routed(length, behind=False), np.random.default_rng(0)
    calibration = [{"x": rng.standard_normal((1, length, D)).astype(np.float32)} for _ in range(8)]
    program = compile_file(model, load(config), CompileOptions(calibration=calibration, check=True)).program
    session = vlarun.Session(program)
    table = onnx.numpy_helper.to_array(next(t for t in model.graph.initializer if t.dims[:] == [EXPERTS, D]))
    step = program.outputs[0].scale
    for number in range(EXPERTS):
        x = np.full((1, length, D), -1.0, np.float32)
        x[..., number:] = 1.0
        (found,) = session.run({"x": x}).values()
        assert np.abs(found - table[number]).max() <= step / 2 + 1e-6


def test_what_is_behind_a_router():
    model, rng = routed(7), np.random.default_rng(1)
    draw = lambda: rng.standard_normal((1, 7, D)).astype(np.float32)  # noqa: E731
    calibration = [{"x": draw()} for _ in range(32)]
    program = compile_file(model, load("tiny"), CompileOptions(calibration=calibration, check=True)).program
    x = draw()
    order = np.sort(x[..., :EXPERTS], axis=2)
    clear = (order[0, :, -1] - order[0, :, -2]) > 0.1  # else a step of int8 may decide
    (wanted,), (found,) = (r.values() for r in (Reference(model).run({"x": x}), vlarun.Session(program).run({"x": x})))
    assert clear.sum() >= 4
    assert snr(wanted[0, clear], found[0, clear]) > 28
