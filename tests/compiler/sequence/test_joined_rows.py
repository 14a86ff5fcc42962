"""Tokens of several towers, joined, that do not fit on chip together: they are joined in the data space."""

from dataclasses import replace

import numpy as np
import pytest
from blocks import Block, Sequence
from parity import check_rtl
from test_bands import LARGE, TINY, bands, compiled, drawn, meant

import vlarun
from vla_isa import hazards
from vla_toolchain.verify.nodes import device_tensors
from vlac.errors import AllocationError

TOKENS, WIDTH = 64, 40
SMALL = replace(TINY, act_words=2048)  # 16 KiB; joined they are 17.5 KB in int16
BLOCK = Block(length=3 * TOKENS + 7, channels=WIDTH)


def towers(*, also=(), again=False, fixed=False, between=False):
    """Three towers of one layer and a few tokens that are given, or are constants; a block of attention behind.

    Args:
        between: the few tokens stand in front of the last tower's, whose first then lies within a line.
        also: which of the tokens are outputs too: "joined", or those of the first tower.
        again: what is joined is joined with more.
    """
    g = Sequence("towers")
    seen = [g.linear(g.input(f"x{i}", (1, TOKENS, 24)), 24, WIDTH) for i in range(3)]
    few = np.random.default_rng(0).standard_normal((1, 7, WIDTH)).astype(np.float32)
    parts = [*seen, g.constant(few) if fixed else g.input("few", (1, 7, WIDTH))]
    parts = [*seen[:2], parts[3], seen[2]] if between else parts
    if again:
        parts = [g.node("Concat", parts[:2], WIDTH, axis=1), *parts[2:]]
    joined = g.node("Concat", parts, WIDTH, axis=1)
    more = {"joined": joined, "first": g.node("Relu", [seen[0]], WIDTH)}
    return g.finished(BLOCK.add(g, joined), *(more[name] for name in also))


MODELS = {
    "three": {},
    "returned": {"also": ["joined"]},
    "read elsewhere": {"also": ["first"]},
    "twice": {"again": True},
    "a constant": {"fixed": True},
    "within a line": {"between": True},
}
ON_CHIP = ("within a line",)


@pytest.mark.parametrize("name", MODELS)
def test_a_smaller_scratchpad_changes_no_byte(name):
    model = towers(**MODELS[name])
    inputs = drawn(model, 1)
    words = SMALL.act_words * (4 if name in ON_CHIP else 1)
    whole, cut = compiled(model, LARGE), compiled(model, replace(SMALL, act_words=words))
    assert bands(cut) and not bands(whole)
    if name in ON_CHIP:
        with pytest.raises(AllocationError, match="Use a config with more memory"):
            compiled(model, SMALL)
    wanted, found = (vlarun.Session(s.program, backend="sim").run(inputs) for s in (whole, cut))
    assert wanted.keys() == found.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value)


def test_they_are_never_on_chip_together():
    model = towers()
    inputs = drawn(model, 1)
    state = compiled(model, SMALL, debug_outputs=True)
    hazards.check(state.program)
    stored = [op for op in state.graph.ops if op.op_type == "Store" and ":in:" in op.output.name]
    assert sum(op.output.w for op in stored) == BLOCK.length
    raw = vlarun.Session(state.program, backend="sim").device_outputs(inputs)
    values, given = meant(state, inputs), state.graph.inputs
    compared = [(t, q) for t, q in device_tensors(state.graph, inputs, raw) if t in values and t not in given]
    assert len(compared) > 10
    for tensor, q in compared:
        np.testing.assert_array_equal(tensor.to_hwc(q), values[tensor], tensor.label)


def test_state_that_is_read_again_when_it_is_written():
    """A sampler's noise in bands: its first rows are stored before the last ones are read for the residual."""
    g, count = Sequence("sampler"), 60
    seen, noise = g.input("seen", (1, count, WIDTH)), g.input("noise", (1, count, 8))
    parts = [g.linear(noise, 8, WIDTH), *(g.linear(seen, WIDTH, WIDTH) for _ in range(2))]
    mixed = g.node("Attention", parts, WIDTH, q_num_heads=2, kv_num_heads=2)
    model = g.finished(g.node("Add", [noise, g.linear(mixed, WIDTH, 8)], 8))
    made = model.graph.output[0].name
    inputs = drawn(model, 1)
    words = (LARGE.act_words, 1024)
    states = [compiled(model, replace(TINY, act_words=w), repeat=4, carry={"noise": made}) for w in words]
    assert bands(states[0]) < bands(states[1])
    wanted, found = (vlarun.Session(s.program, backend="sim").run(inputs) for s in states)
    np.testing.assert_array_equal(found[made], wanted[made])


def test_on_verilog():
    model = towers()
    check_rtl(compiled(model, SMALL), drawn(model, 1))
