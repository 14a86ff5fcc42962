"""Small whole transformers on the device: token ids to logits, an image to classes, and their ends."""

import numpy as np
import pytest
from blocks import Block, Sequence
from on_device import TOKENS, check, run

import vlarun
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlarun.errors import MachineError


def gpt(length=19, d=48, heads=3, blocks=2):
    g = Sequence("gpt")
    x = g.embedding(g.numbers("tokens", length), TOKENS, d)
    x = g.node("Add", [x, g.constant(0.3 * g.normal(length, d))], d)
    for _ in range(blocks):
        x = Block(length, d, heads, heads, causal=True).add(g, x)
    return g.finished(g.linear(g.norm(x, d), d, TOKENS, bias=False))


def vit(d=40, heads=2, blocks=2):
    g = Sequence("vit")
    patches = g.conv(g.input("image", (1, 3, 16, 16)), d, 4, 4, relu=False, pads=[0] * 4)
    x = g.node("Transpose", [g.node("Reshape", [patches, g.constant(np.array([1, d, 16]))], d)], d, perm=[0, 2, 1])
    x = g.node("Concat", [g.constant(g.normal(1, 1, d)), x], d, axis=1)
    x = g.node("Add", [x, g.constant(0.3 * g.normal(1, 17, d))], d)
    for _ in range(blocks):
        x = Block(17, d, heads, heads).add(g, x)
    first = g.node("Gather", [g.norm(x, d), g.constant(np.array(0))], d, axis=1)
    return g.finished(g.linear(first, d, 10))


def mixer(length=23, d=40, blocks=2):
    """MLP-Mixer: what mixes pixels works on the transposed stream."""
    g = Sequence("mixer")
    x = g.input("x", (1, length, d))
    for _ in range(blocks):
        y = g.node("Transpose", [g.norm(x, d)], length, perm=[0, 2, 1])
        y = g.linear(g.node("Gelu", [g.linear(y, length, 50)], 50), 50, length)
        x = g.node("Add", [x, g.node("Transpose", [y], d, perm=[0, 2, 1])], d)
        x = g.node("Add", [x, g.linear(g.node("Gelu", [g.linear(g.norm(x, d), d, 64)], 64), 64, d)], d)
    return g.finished(x)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("make", [gpt, vit, mixer])
def test_model(make, config):
    check(make(), config, least=30.0)


def test_post_norm():
    """BERT: a norm behind each sum, read as int16 by the next sum and as int8 by the next product."""
    g, d = Sequence("post"), 40
    x = g.input("x", (1, 11, d))
    for _ in range(2):
        parts = [g.linear(x, d, d) for _ in range(3)]
        a = g.node("Attention", parts, d, q_num_heads=2, kv_num_heads=2)
        x = g.norm(g.node("Add", [g.linear(a, d, d), x], d), d)
        hidden = g.node("Gelu", [g.linear(x, d, 3 * d)], 3 * d)
        x = g.norm(g.node("Add", [g.linear(hidden, 3 * d, d), x], d), d)
    check(g.finished(x), "tiny", least=30.0)


def test_adaptive_norm_and_gates():
    """DiT: rows that a condition makes scale and move a norm, and gate what is added."""
    g, d = Sequence("dit"), 48
    x, c = g.input("x", (1, 17, d)), g.input("c", (1, 1, d))
    scale, shift, gate = (g.linear(c, d, d) for _ in range(3))
    y = g.node("LayerNormalization", [x, g.constant(np.ones(d, np.float32))], d)
    y = g.node("Mul", [y, g.node("Add", [scale, g.constant(np.float32(1))], d)], d)
    y = g.linear(g.node("Add", [y, shift], d), d, d)
    check(g.finished(g.node("Add", [x, g.node("Mul", [y, gate], d)], d)), "tiny", least=30.0)


def stream(g, length=13, d=40):
    x = g.input("x", (1, length, d))
    return g.node("Add", [x, g.linear(g.norm(x, d), d, d)], d)


MOVES = {
    "transposed": lambda g, y: (g.node("Transpose", [y], 13, perm=[0, 2, 1]), 13),
    "pixels": lambda g, y: (g.node("Slice", [y, *(g.constant(np.array([v])) for v in (2, 9, 1))], 40), 40),
    "channels": lambda g, y: (g.node("Slice", [y, *(g.constant(np.array([v])) for v in (8, 32, 2))], 24), 24),
    "joined pixels": lambda g, y: (g.node("Concat", [y, g.input("z", (1, 5, 40))], 40, axis=1), 40),
    "joined channels": lambda g, y: (g.node("Concat", [y, g.input("z", (1, 13, 16))], 56, axis=2), 56),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_stream_that_is_moved_stays_int16(move):
    """Read by a norm behind the move; as int8 it would be 34 dB at best."""
    g = Sequence("moved")
    y, d = MOVES[move](g, stream(g))
    found = check(g.finished(g.node("Add", [y, g.linear(g.norm(y, d), d, d)], d)), "tiny", least=38.0, samples=64)
    assert all(t.planes == 2 for t in found.state.graph.inputs)


@pytest.mark.parametrize("turned", [False, True])
def test_a_stream_that_is_subtracted_from(turned):
    """A step x - dt * v, or v - x: the stream stays int16, which int8 operands would show as 34 dB."""
    g, d = Sequence("flow"), 40
    x = g.input("x", (1, 11, d))
    for _ in range(2):
        v = g.node("Mul", [g.linear(g.norm(x, d), d, d), g.constant(np.float32(0.3))], d)
        x = g.node("Sub", [v, x] if turned else [x, v], d)
    check(g.finished(x), "tiny", least=37.0)


def test_a_token_that_is_no_row_stops_the_machine():
    """A number below 0 counts from the end, as ONNX has it."""
    calibration = {"tokens": np.arange(19)[None]}
    program = compile_file(gpt(blocks=1), load("tiny"), CompileOptions(calibration=calibration)).program
    session = vlarun.Session(program, backend="sim")
    last, first = (session.run({"tokens": np.full((1, 19), n)}) for n in (TOKENS - 1, 0))
    for same, found in ((-1, last), (-TOKENS, first)):
        again = session.run({"tokens": np.full((1, 19), same)})
        assert all(np.array_equal(again[name], found[name]) for name in found)
    for bad in (TOKENS, -TOKENS - 1):
        with pytest.raises(MachineError, match="INDEX_RANGE"):
            session.run({"tokens": np.full((1, 19), bad)})


def test_rows_of_any_token_are_in_range():
    """Calibration saw token 0 only, the table's largest row is another one's."""
    g = Sequence("rows")
    table = np.concatenate([np.full((1, 24), 0.1), np.linspace(-8, 8, (TOKENS - 1) * 24).reshape(-1, 24)])
    rows = g.node("Gather", [g.constant(table.astype(np.float32)), g.numbers("tokens", 7)], 24)
    model = g.finished(g.node("Add", [rows, g.norm(rows, 24)], 24))
    program = compile_file(model, load("tiny"), CompileOptions(calibration={"tokens": np.zeros((1, 7), int)})).program
    session = vlarun.Session(program, backend="sim")
    found = session.run({"tokens": np.full((1, 7), TOKENS - 1)})
    assert np.abs(next(iter(found.values()))).max() > 8


def test_embedding_alone_is_int8():
    """In a model without norms and attention."""
    g = Sequence("embedding")
    found = run(g.finished(g.linear(g.embedding(g.numbers("tokens", 9), TOKENS, 24), 24, 16)), "tiny")
    assert found.snr > 30 and all(t.layout.planes == 1 for t in found.state.program.outputs)
