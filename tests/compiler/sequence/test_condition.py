"""Few queries over many keys of a condition, as RDT's: norms of heads, parts of queries, keys that are made once."""

from dataclasses import replace

import numpy as np
import pytest
from blocks import Sequence
from on_device import check

import vlarun
from vla_isa import hardware, hazards
from vla_isa.trace import walk
from vlac import CompileOptions, compile_file
from vlac.ir.operation import Home

ROWS, KEYS, STEPS = 21, 150, 3
TINY = replace(hardware.load("tiny"), weight_words=512)
LARGE = replace(TINY, act_words=1 << 17, weight_words=1 << 15)


def rdt(heads=3, d=16, keys=KEYS):
    """A block of RDT: self attention, cross attention over a condition, an MLP; queries and keys have norms."""
    g, width = Sequence("rdt"), heads * d
    x, c = g.input("x", (1, ROWS, width)), g.input("c", (1, keys, width))
    y = g.norm(x, width, rms=True)
    x = g.node("Add", [x, attended(g, y, y, ROWS, ROWS, heads, d)], width)
    x = g.node("Add", [x, attended(g, g.norm(x, width, rms=True), c, ROWS, keys, heads, d)], width)
    hidden = g.node("Gelu", [g.linear(g.norm(x, width, rms=True), width, width)], width)
    return g.finished(g.node("Add", [x, g.linear(hidden, width, width)], width))


def attended(g, x, c, rows, keys, heads, d):
    width = heads * d
    q = g.norm(g.split(g.linear(x, width, width), rows, heads, d), d, rms=True)
    k = g.norm(g.split(g.linear(c, width, width), keys, heads, d), d, rms=True)
    v = g.split(g.linear(c, width, width), keys, heads, d)
    return g.linear(g.joined(g.node("Attention", [q, k, v], d), rows, width), width, width)


def drawn(model, seed):
    rng = np.random.default_rng(seed)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}


def compiled(hw, repeat=1, **how):
    model = rdt()
    carry = {"x": model.graph.output[0].name} if repeat > 1 else {}
    options = CompileOptions(calibration=drawn(model, 0), carry=carry, repeat=repeat, check=True, **how)
    return compile_file(model, hw, options)


def outputs(state):
    return vlarun.Session(state.program).run(drawn(rdt(), 1))


@pytest.mark.parametrize("d", [8, 12, 16])
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_norms_of_heads_are_within_a_step_of_float64(config, d):
    found = check(rdt(d=d, keys=29), config, least=20.0)
    norms = [op for op in found.state.graph.ops if op.op_type == "RMSNormalization" and op.queue]
    assert len(norms) == 3 * 7  # REDUCE, RECIP, ROW: no copy


def test_parts_of_queries_change_no_byte():
    wanted, found = outputs(compiled(LARGE)), compiled(replace(TINY, act_words=2048))
    assert any(":queries" in op.output.label for op in found.graph.ops)
    assert all(np.array_equal(wanted[n], a) for n, a in outputs(found).items())


def test_keys_and_values_of_a_condition_are_made_once():
    """They lie in the data space, for which they are many; every round loads them, and makes nothing of them."""
    small = replace(TINY, act_words=2048)
    states = [compiled(small, repeat=n) for n in (1, STEPS, STEPS + 1)]
    assert any(op.output.home is Home.SPILLED for op in states[0].graph.ops)
    packets = [[p.packet for p in walk(s.program, 0)] for s in states]
    more = len(packets[2]) - len(packets[1])
    assert more < 0.8 * len(packets[0])
    macs = [sum(p["m"] * p["k_blocks"] * p["n_blocks"] for p in part if p.name == "GEMM") for part in packets]
    condition = 2 * KEYS * (48 // 8) ** 2
    assert macs[2] - macs[1] == macs[0] - condition
    wanted = outputs(compiled(LARGE, repeat=STEPS))
    assert all(np.array_equal(wanted[n], a) for n, a in outputs(states[1]).items())
    hazards.check(states[1].program)
