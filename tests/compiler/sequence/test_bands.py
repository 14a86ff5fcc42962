"""Sequences in bands of rows: a smaller scratchpad changes no byte, and long sequences fit."""

from dataclasses import replace

import numpy as np
import pytest
from blocks import Block, Sequence
from test_models_on_device import gpt

import vlarun
from vla_isa import hardware, hazards, image
from vla_isa.signature import HostRun, to_device
from vla_toolchain.verify.nodes import check_nodes, device_tensors
from vlac import CompileOptions, compile_file
from vlac.device.to_weights import ToWeightsOp
from vlac.errors import AllocationError
from vlac.ir.evaluate import evaluate
from vlac.plan.order import weights_early
from vlac.plan.sequences import Sequences
from vlac.report.summary import layer_rows

LENGTH = 75
TINY = replace(hardware.load("tiny"), weight_words=512)  # few enough that heads are copied one by one
LARGE = replace(TINY, act_words=1 << 19)
BLOCKS = [
    Block(length=LENGTH, channels=40),
    Block(length=LENGTH, channels=40, causal=True),
    Block(length=LENGTH, channels=40, packed=True),
    Block(length=LENGTH, channels=72, heads=4, key_heads=2, causal=True, rms=True),
    Block(length=LENGTH, channels=48, heads=3, key_heads=1, rotary=16),
    Block(length=LENGTH, channels=48, heads=3, key_heads=3, rotary=8, interleaved=True, causal=True),
    Block(length=LENGTH, channels=40, mask=np.tri(LENGTH, k=3, dtype=bool)),
    Block(length=LENGTH, channels=40, mask=np.random.default_rng(0).standard_normal((2, LENGTH, LENGTH)) * 0.5),
    Block(length=LENGTH, channels=20, heads=1, key_heads=1, mask=np.tile(np.arange(LENGTH) < 31, (LENGTH, 1))),
    Block(length=LENGTH, channels=40, causal=True, mask=np.tile(np.arange(LENGTH) % 5 != 2, (LENGTH, 1))),
]


def stacked(block, count=2):
    g = Sequence("stacked")
    x = g.input("x", (1, block.length, block.channels))
    for _ in range(count):
        x = block.add(g, x)
    return g.finished(x)


def whole_in_the_middle(d=40):
    """What one pixel needs of all of a sequence, and a norm of all behind it."""
    g = Sequence("first")
    x = Block(length=LENGTH, channels=d).add(g, g.input("x", (1, LENGTH, d)))
    first = g.node("Gather", [g.norm(x, d), g.constant(np.array([0]))], d, axis=1)
    return g.finished(g.norm(g.node("Add", [x, g.linear(first, d, d)], d), d), first)


def post_norm(d=40):
    g = Sequence("post")
    x = g.input("x", (1, LENGTH, d))
    a = g.node("Attention", [g.linear(x, d, d) for _ in range(3)], d, q_num_heads=2, kv_num_heads=2)
    x = g.norm(g.node("Add", [g.linear(a, d, d), x], d), d)
    hidden = g.node("Gelu", [g.linear(x, d, 3 * d)], 3 * d)
    return g.finished(g.norm(g.node("Add", [g.linear(hidden, 3 * d, d), x], d), d))


def keys_of_inputs(d=40, keys=150):
    """Few queries; keys and values are the model's inputs and many."""
    g = Sequence("condition")
    x, k, v = g.input("x", (1, 13, d)), g.input("k", (1, keys, d)), g.input("v", (1, keys, d))
    a = g.node("Attention", [g.linear(g.norm(x, d), d, d), k, v], d, q_num_heads=2, kv_num_heads=2)
    return g.finished(g.node("Add", [x, g.linear(a, d, d)], d))


def cross(d=40, keys=37):
    """Queries of one sequence, keys of another."""
    g = Sequence("cross")
    x, c = g.input("x", (1, LENGTH, d)), g.input("c", (1, keys, d))
    parts = [g.linear(g.norm(x, d), d, d), *(g.linear(g.norm(c, d), d, d) for _ in range(2))]
    a = g.node("Attention", parts, d, q_num_heads=2, kv_num_heads=2)
    return g.finished(g.node("Add", [x, g.linear(a, d, d)], d))


def keys_in_front(d=40, blocks=8):
    """Keys and values of all blocks are made before the first block reads its own, as a sampler's conditions are."""
    g = Sequence("front")
    x, c = g.input("x", (1, 13, d)), g.input("c", (1, LENGTH, d))
    made = [[g.linear(c, d, d) for _ in range(2)] for _ in range(blocks)]
    for k, v in made:
        a = g.node("Attention", [g.linear(g.norm(x, d), d, d), k, v], d, q_num_heads=2, kv_num_heads=2)
        x = g.node("Add", [x, g.linear(a, d, d)], d)
    return g.finished(x)


MODELS = {
    **{f"block-{b}": lambda b=b: stacked(b) for b in BLOCKS},
    "whole": whole_in_the_middle,
    "post": post_norm,
    "cross": cross,
    "keys": keys_of_inputs,
    "gpt": lambda: gpt(length=LENGTH),
}

SLOW = {f"block-{BLOCKS[i]}" for i in (0, 2, 4, 6, 8, 9)}


def drawn(model, seed):
    rng = np.random.default_rng(seed)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {
        name: rng.integers(0, 50, s) if name == "tokens" else rng.standard_normal(s).astype(np.float32)
        for name, s in shapes.items()
    }


def compiled(model, hw, **options):
    return compile_file(model, hw, CompileOptions(calibration=drawn(model, 0), check=True, **options))


def bands(state):
    """How many operations are some pixels of another."""
    return sum(op.whole is not None for op in state.graph.ops)


def meant(state, inputs):
    """What the operations say of all tensors."""
    host = HostRun(state.graph.signature, inputs)
    taken = {
        t: to_device(host.value(state.graph.input_labels[t][1]), t.scale, t.zero_point, t.stored)
        for t in state.graph.inputs
    }
    return evaluate(state.graph, taken)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MODELS])
def test_a_smaller_scratchpad_changes_no_byte(name):
    model = MODELS[name]()
    inputs = drawn(model, 1)
    whole = compiled(model, LARGE)
    wanted = vlarun.Session(whole.program, backend="sim").run(inputs)
    assert not bands(whole)
    counts = []
    for words in (4096, 2048, 1024):
        try:
            state = compiled(model, replace(TINY, act_words=words))
        except AllocationError:
            break
        counts.append(bands(state))
        found = vlarun.Session(state.program, backend="sim").run(inputs)
        for key, value in wanted.items():
            assert np.array_equal(found[key], value), (words, key)
    assert max(counts) > 0
    assert sorted(counts) == counts  # fewer words, more bands


@pytest.mark.parametrize(
    ("name", "words"), [("whole", 4096), ("cross", 2048), ("keys", 2048), (f"block-{BLOCKS[3]}", 4096)]
)
def test_every_tensor_is_what_its_operations_mean(name, words):
    model = MODELS[name]()
    inputs = drawn(model, 1)
    state = compiled(model, replace(TINY, act_words=words), debug_outputs=True)
    assert bands(state)
    hazards.check(state.program)
    raw = vlarun.Session(state.program, backend="sim").device_outputs(inputs)
    values = meant(state, inputs)
    whole = compiled(model, LARGE, debug_outputs=True)
    there = vlarun.Session(whole.program, backend="sim").device_outputs(inputs)
    checks = [sorted(check_nodes(s, inputs, r), key=lambda c: c.name) for s, r in ((whole, there), (state, raw))]
    assert checks[0] == checks[1]
    compared = 0
    for tensor, q in device_tensors(state.graph, inputs, raw):
        if tensor in values and tensor not in state.graph.inputs:
            assert np.array_equal(tensor.to_hwc(q), values[tensor]), tensor.label
            compared += 1
    assert compared > 10


def test_keys_of_all_blocks_become_weights_one_after_another():
    """Else keys and values of all blocks wait in the scratchpad for the first block."""
    ops = compiled(keys_in_front(), replace(LARGE, weight_words=1 << 15)).graph.ops
    ops.sort(key=lambda op: op.inputs[0].label != "c")  # as a sampler's model has it
    early = weights_early(ops)

    def most_waiting(order):
        last = {t.root: number for number, op in enumerate(order) for t in op.inputs}
        keys = {t.root for op in order if isinstance(op, ToWeightsOp) for t in op.inputs}
        made = {o.output.root: n for n, o in reversed([*enumerate(order)]) if o.output.root in keys}
        return max(sum(made[t] <= number < last[t] for t in made) for number in range(len(order)))

    assert sorted(map(id, early)) == sorted(map(id, ops))
    places = {op.output: number for number, op in enumerate(early)}
    assert all(places.get(t, -1) < number for number, op in enumerate(early) for t in op.inputs)
    assert (most_waiting(ops), most_waiting(early)) == (8, 1)


def test_more_queries_than_the_array_keeps_maxima_of():
    """1100 tokens: logits of 1024 rows at most."""
    model = stacked(Block(length=1100, channels=16, heads=1, key_heads=1), 1)
    state = compiled(model, hardware.load("u50"))
    assert bands(state)
    assert max(op.output.w for op in state.graph.ops if op.output.with_items) <= 1024


def test_bands_share_weights_and_parameters():
    """A band more is no weight more in the file, and no row more in the report."""
    model = stacked(BLOCKS[0], 1)
    whole, cut = (compiled(model, hw).program for hw in (LARGE, replace(TINY, act_words=2048)))
    assert len(cut.weights) == len(whole.weights)
    shapes = [{r["node"]: r["shape"] for r in layer_rows(p)} for p in (whole, cut)]
    assert shapes[0] == shapes[1]
    sizes = [next(e.size for e in p.memory_map if e.name == "parameters") for p in (whole, cut)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("name", "words"), [("cross", 1024), ("post", 1024)])
def test_sizes_of_bands_that_are_left_out_would_not_fit(name, words, monkeypatch):
    """The search gives the same program where it tries all of them."""
    model, hw = MODELS[name](), replace(TINY, act_words=words)
    with monkeypatch.context() as patched:
        patched.setattr(Sequences, "least_words", 0)
        wanted = compiled(model, hw).program
    real, least = Sequences.least_words.fget, []
    monkeypatch.setattr(Sequences, "least_words", property(lambda found: least.append(real(found)) or least[-1]))
    assert image.dumps(compiled(model, hw).program) == image.dumps(wanted)
    assert max(least) > words
