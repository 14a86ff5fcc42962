"""Rows that are joined or cut off without a packet, and masks that are limits: the bytes of the operations, and how
many packets are left.
"""

import numpy as np
import pytest
from blocks import Sequence
from on_device import check, drawn

import vlarun
from vla_isa.generated.codes import Move
from vla_isa.hardware import load
from vla_isa.trace import walk
from vlac import CompileOptions, compile_file

D, HEADS, KEYS, ROWS = 32, 8, 6, 9


def packets(program, name):
    return [s.packet for s in walk(program, 0) if s.packet.name == name]


def moves(program):
    """COPYs inside the scratchpad that are no transposes."""
    return [p for p in packets(program, "COPY") if p["move"] == Move.ACT_TO_ACT and not p["unit"]]


def sliced(g, x, first, end, width):
    return g.node("Slice", [x, *(g.constant(np.array([n])) for n in (first, end, 1))], width)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_joined_rows_are_made_where_they_are_read(config):
    """A state in front of actions, read by a norm, and the actions alone behind it."""
    g = Sequence("joined")
    state, actions = g.linear(g.input("state", (1, 1, D)), D, D), g.linear(g.input("x", (1, ROWS, D)), D, D)
    rows = g.node("Concat", [state, actions], D, axis=1)
    y = g.node("Add", [rows, g.linear(g.norm(rows, D), D, D)], D)
    found = check(g.finished(g.linear(g.norm(sliced(g, y, 1, ROWS + 1, D), D), D, D)), config)
    assert not moves(found.state.program)


def test_a_prefix_of_keys_is_loaded_in_front_of_the_new_ones():
    g = Sequence("prefix")
    y = g.norm(g.input("x", (1, ROWS, D)), D)
    k, v = (g.node("Concat", [g.input(name, (1, KEYS, D)), g.linear(y, D, D)], D, axis=1) for name in ("key", "value"))
    a = g.node("Attention", [g.linear(y, D, D), k, v], D, q_num_heads=1, kv_num_heads=1)
    found = check(g.finished(g.linear(a, D, D)), "u50")
    assert not moves(found.state.program)


def test_what_two_concats_join_is_copied_once():
    """It can lie in one of them only."""
    g = Sequence("twice")
    a, b = (g.linear(g.input(name, (1, n, D)), D, D) for name, n in (("a", 3), ("b", 5)))
    c = g.linear(g.input("c", (1, 4, D)), D, D)
    one, two = (g.norm(g.node("Concat", [a, x], D, axis=1), D) for x in (b, c))
    found = check(g.finished(g.linear(one, D, D), g.linear(two, D, D)), "tiny")
    assert len(moves(found.state.program)) == 1


def growing(steps, constant=False):
    """Tokens one after another, each over the keys of all before it, which are smaller; the first may be a constant."""
    g = Sequence("growing")
    seen = g.norm(g.input("x", (1, KEYS, D)), D)
    k, v = (g.node("MatMul", [seen, g.constant(g.normal(D, D) / 8)], D) for _ in range(2))
    ends = []
    for step in range(steps):
        token = g.constant(g.normal(1, 1, D)) if constant and not step else g.input(f"t{step}", (1, 1, D))
        row = g.norm(token, D)
        new = (g.node("MatMul", [row, g.constant(g.normal(D, D) * (1.5 + step / 4) / 8)], D) for _ in range(2))
        k, v = (g.node("Concat", [past, each], D, axis=1) for past, each in zip((k, v), new, strict=True))
        ends.append(g.node("Attention", [g.linear(row, D, D), k, v], D, q_num_heads=1, kv_num_heads=1))
    return g.finished(*(g.linear(end, D, D) for end in ends))


@pytest.mark.parametrize("constant", [False, True])
def test_what_was_joined_is_copied_as_one(constant):
    """Keys and values of a decoder with all of its steps: one copy each, and what is new is made where it is read."""
    program = check(growing(5, constant), "tiny", samples=64, over=8, least=20).state.program
    assert len(moves(program)) == 2 * 4
    assert len(scaled(program)) == 2 * constant  # the first rows, which are made once


def test_few_joins_have_scales_of_their_own():
    """Each of them is in that of all it joins, so that what came first is less coarse than with the last."""
    assert len(scaled(check(growing(2), "tiny", samples=64, over=8, least=20).state.program)) == 2


def scaled(program):
    """Rows that are brought to the scale of what joins them."""
    numbers = {source.packet for source in program.sources if source.op == "Concat"}
    return [s for s in walk(program, 0) if s.packet.name == "VEC" and s.number in numbers]


def state_and_actions(mask):
    g = Sequence("masked")
    y = g.norm(g.input("x", (1, ROWS, D)), D)
    k, v = (g.node("Concat", [g.input(name, (1, KEYS, 8)), g.linear(y, D, 8)], 8, axis=1) for name in ("key", "value"))
    parts = [g.linear(y, D, 8 * HEADS), k, v, g.constant(mask)]
    a = g.node("Attention", parts, 8 * HEADS, q_num_heads=HEADS, kv_num_heads=1)
    return g.finished(g.linear(a, 8 * HEADS, D))


def seen(*limits):
    """Keys that each query sees, the first so many."""
    return np.arange(KEYS + ROWS) < np.array(limits)[:, None]


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_a_mask_that_cuts_off_keys_is_limits(config):
    """The state sees the prefix and itself: two packets for each of two groups of heads, and no mask is read."""
    mask = seen(KEYS + 1, *[KEYS + ROWS] * (ROWS - 1))
    found = check(state_and_actions(mask), config, least=25.0)
    products = [p for p in packets(found.state.program, "GEMM") if p["row_max"]]
    assert not any(p["res_kind"] for p in products)
    assert sorted(p["limit"] for p in products) == sorted(2 * [KEYS + 1, KEYS + ROWS])


def test_heads_with_limits_have_the_bytes_of_each_head_alone():
    mask = seen(*[KEYS + 2] * 3, *[KEYS + ROWS] * (ROWS - 3))
    model, rng = state_and_actions(mask), np.random.default_rng(3)
    calibration, inputs = [drawn(model, rng) for _ in range(4)], drawn(model, rng)
    programs = [
        compile_file(model, load("u50"), CompileOptions(calibration=calibration, debug_outputs=shown)).program
        for shown in (False, True)
    ]
    joined, alone = (vlarun.Session(p).run(inputs, raw=True) for p in programs)
    assert all(np.array_equal(joined[name], alone[name]) for name in joined)


@pytest.mark.parametrize("rows", [(7, 15, 15, 7, 15, 15, 15, 15, 15), (3, 5, 7, 9, 11, 13, 15, 15, 15)])
def test_a_mask_of_more_places_stays_one(rows):
    model = state_and_actions(seen(*rows))
    calibration = [drawn(model, np.random.default_rng(i)) for i in range(2)]
    program = compile_file(model, load("u50"), CompileOptions(calibration=calibration)).program
    assert all(p["res_kind"] for p in packets(program, "GEMM") if p["row_max"])
