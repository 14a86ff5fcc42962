"""Rows of a computed sequence by numbers of the host: the place of a token, as CLIP's text encoder takes its result."""

import numpy as np
import onnx
import pytest
from blocks import Block, Sequence
from exported import exported
from on_device import check
from parity import check_rtl
from spellings import CASES

import vlarun
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlarun.errors import MachineError

LENGTH, D, TOKENS = 13, 40, 50


def picked(wide, axis=1):
    """The row of the largest token: of an int16 stream, or of the int8 behind a layer."""
    g = Sequence("picked")
    tokens = g.numbers("tokens", LENGTH)
    x = Block(LENGTH, D, 2, 2).add(g, g.embedding(tokens, TOKENS, D))
    if not wide:
        x = g.node("Gelu", [g.linear(x, D, D)], D)
    place = g.node("ArgMax", [tokens], 1, axis=-1, keepdims=0)
    if axis == 0:
        x = g.node("Reshape", [x, g.constant(np.array([LENGTH, D]))], D)
    y = g.node("Gather", [x, place], D, axis=axis)
    return g.finished(g.linear(g.norm(y, D), D, 8))


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize(("wide", "axis"), [(True, 1), (False, 1), (True, 0)])
def test_of_a_token(config, wide, axis):
    found = check(picked(wide, axis), config, samples=64, over=6)
    packets = found.packets.count("Gather")
    blocks = -(-D // load(config).block)
    assert packets == 1 + blocks * (1 + wide)  # the embedding's, and one for each byte plane of each channel block


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_same_bytes():
    found = check(picked(True), "tiny", samples=64, over=6)
    check_rtl(found.state, found.inputs)


def test_as_it_is_exported():
    """`x[torch.arange(1), tokens.argmax(-1)]`."""
    pytest.importorskip("torch", reason="pip install .[train]")
    model, _ = exported(next(c for c in CASES if c.name == "row_of_a_token"), "dynamo-18")
    check(model, "tiny", samples=64, over=6)


def test_numbers_behind_the_end_stop_the_machine():
    """Below 0 they count from the end."""
    g = Sequence("numbers")
    x = g.input("x", (1, LENGTH, D))
    g.inputs.append(onnx.helper.make_tensor_value_info("n", onnx.TensorProto.INT64, (2,)))
    y = g.node("Gather", [g.node("Add", [x, g.norm(x, D)], D), "n"], D, axis=1)
    rng = np.random.default_rng(0)
    data = [{"x": rng.standard_normal((1, LENGTH, D)), "n": np.array([0, 3])} for _ in range(8)]
    session = vlarun.Session(compile_file(g.finished(y), load("tiny"), CompileOptions(calibration=data)).program)

    def run(*numbers):
        return next(iter(session.run({"x": data[0]["x"], "n": np.array(numbers)}).values()))

    assert np.array_equal(run(LENGTH - 1, 2), run(-1, 2 - LENGTH))
    assert not np.array_equal(run(0, 2), run(2, 0))
    for bad in (LENGTH, -LENGTH - 1):
        with pytest.raises(MachineError, match="INDEX_RANGE"):
            run(0, bad)
