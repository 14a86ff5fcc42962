"""What phases of bands hand on lies in the data space: the same bytes, and prefixes of many layers fit."""

from dataclasses import replace

import numpy as np
import pytest
from blocks import Sequence
from test_bands import LARGE, LENGTH, MODELS, TINY, bands, compiled, drawn, meant

import vlarun
from vla_isa import hazards
from vla_isa.trace import walk
from vla_toolchain.verify.nodes import device_tensors
from vlac.device.bands import LoadRows
from vlac.errors import AllocationError
from vlac.plan import banded
from vlac.plan.sequences import Spill

ROWS, D, LAYERS, STEPS = 13, 32, 6, 3


def prefix_and_rounds(layers=LAYERS):
    """Joint attention of two experts: actions of each layer read its keys of the prefix, and those of themselves."""
    g = Sequence("prefix")
    x, seen = g.input("x", (1, ROWS, D)), g.input("seen", (1, LENGTH, D))
    for _ in range(layers):
        y = g.norm(seen, D, rms=True)
        kept = [g.linear(y, D, D) for _ in range(2)]
        a = g.node("Attention", [g.linear(y, D, D), *kept], D, q_num_heads=2, kv_num_heads=2)
        seen = g.node("Add", [seen, g.linear(a, D, D)], D)
        y = g.norm(x, D, rms=True)
        both = [g.node("Concat", [t, g.linear(y, D, D)], D, axis=1) for t in kept]
        a = g.node("Attention", [g.linear(y, D, D), *both], D, q_num_heads=2, kv_num_heads=2)
        x = g.node("Add", [x, g.linear(a, D, D)], D)
    return g.finished(x)


def rounds(hw):
    model = prefix_and_rounds()
    return model, compiled(model, hw, carry={"x": model.graph.output[0].name}, repeat=STEPS)


def reloaded(state):
    """The loads of what was made band by band and is read whole."""
    return [op for op in state.graph.ops if isinstance(op, LoadRows) and op.output.label.endswith(":whole")]


def only(monkeypatch, *spills):
    ways = tuple(way for way in banded._WAYS if way[0] in spills)
    assert {spill for spill, _ in ways} == set(spills)
    monkeypatch.setattr(banded, "_WAYS", ways)


@pytest.mark.parametrize("name", [n for n in MODELS if n != "keys"])
def test_the_same_bytes(name, monkeypatch):
    model = MODELS[name]()
    inputs = drawn(model, 1)
    wanted = vlarun.Session(compiled(model, LARGE).program).run(inputs)
    only(monkeypatch, Spill.ALL)
    state = compiled(model, replace(TINY, act_words=4096 if name == "whole" else 2048), debug_outputs=True)
    assert bands(state)
    hazards.check(state.program)
    session = vlarun.Session(state.program)
    found, raw = session.run(inputs), session.device_outputs(inputs)
    assert all(np.array_equal(found[key], value) for key, value in wanted.items())
    values = meant(state, inputs)
    compared = 0
    for tensor, q in device_tensors(state.graph, inputs, raw):
        if tensor in values and tensor not in state.graph.inputs:
            assert np.array_equal(tensor.to_hwc(q), values[tensor]), tensor.label
            compared += 1
    assert compared > 10


def test_keys_of_a_prefix_of_many_layers(monkeypatch):
    """All rounds read them; on chip together they do not fit. Each round loads those of a layer when it is there."""
    small = replace(TINY, act_words=2048)
    model, whole = rounds(LARGE)
    inputs = drawn(model, 1)
    wanted = vlarun.Session(whole.program).run(inputs)
    _, state = rounds(small)
    found = vlarun.Session(state.program).run(inputs)
    assert all(np.array_equal(found[key], value) for key, value in wanted.items())
    hazards.check(state.program)
    assert len(reloaded(state)) == 2 * LAYERS
    macs = [
        sum(p.packet["m"] * p.packet["k_blocks"] for p in walk(s.program, 0) if p.packet.name == "GEMM")
        for s in (whole, state)
    ]
    assert macs[0] == macs[1]  # nothing of the prefix is made again
    only(monkeypatch, Spill.NOTHING, Spill.BANDS)
    with pytest.raises(AllocationError, match="activation scratchpad"):
        rounds(small)
