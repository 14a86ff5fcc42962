"""State that stays in the data space: steps with a cache against the whole sequence at once, in float."""

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import snr

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError

LENGTH, D, HEADS, TOKENS, BLOCKS = 10, 32, 2, 30, 2
INT64 = onnx.TensorProto.INT64


class Decoder:
    """A small GPT (norms, learned positions) or Llama (RMS norms, rotary positions, shared keys); equal weights in all
    its graphs.
    """

    def __init__(self, *, llama: bool) -> None:
        self.llama, self.key_heads = llama, 1 if llama else HEADS

    def begin(self, g: Sequence, length: int) -> str:
        for name in ("tokens", "positions"):
            g.numbers(name, length)
        x = g.embedding("tokens", TOKENS, D)
        places = g.embedding("positions", LENGTH, D)
        return x if self.llama else g.node("Add", [x, places], D)

    def rotated(self, g: Sequence, x: str, heads: int, length: int) -> str:
        if not self.llama:
            return x
        steps = g.constant(50.0 ** -np.linspace(0, 1, 8, endpoint=False, dtype=np.float32).reshape(1, 8))
        real = g.node("Cast", [g.node("Reshape", ["positions", g.constant(np.array([1, length, 1]))], 1)], 1, to=1)
        tables = [g.node(f, [g.node("MatMul", [real, steps], 8)], 8) for f in ("Cos", "Sin")]
        return g.node("RotaryEmbedding", [x, *tables], D, num_heads=heads)

    def whole(self) -> onnx.ModelProto:
        """All tokens at once."""
        g = Sequence("decoder")
        x = self.begin(g, LENGTH)
        for _ in range(BLOCKS):
            x = self.block(g, x, LENGTH, lambda g, i, q, k, v: self.attention(g, q, k, v, is_causal=1))
        return g.finished(self.end(g, x))

    def step(self, count: int = 1) -> onnx.ModelProto:
        """One token or some, with keys and values of those before."""
        g = Sequence("decoder")
        x = self.begin(g, count)
        caches, written = [], []
        d = D // HEADS

        def cached(g: Sequence, number: int, x: str, which: str) -> str:
            name = f"{which}{number}"
            caches.append(g.input(name, (1, self.key_heads, LENGTH, d)))
            shape = g.constant(np.array([1, count, self.key_heads, d]))
            heads = g.node("Transpose", [g.node("Reshape", [x, shape], d)], d, perm=[0, 2, 1, 3])
            first = [g.constant(np.array([n])) for n in (0, 1, 1)]
            at = g.node("Reshape", [g.node("Slice", ["positions", *first], 1), g.constant(np.array([1]))], 1)
            written.append(g.node("TensorScatter", [name, heads, at], d, axis=2))
            turned = g.node("Transpose", [written[-1]], d, perm=[0, 2, 1, 3])
            return g.node("Reshape", [turned, g.constant(np.array([1, LENGTH, self.key_heads * d]))], d)

        def attend(g: Sequence, number: int, q: str, k: str, v: str) -> str:
            k, v = cached(g, number, k, "k"), cached(g, number, v, "v")
            queries = g.node("Reshape", ["positions", g.constant(np.array([1, 1, count, 1]))], 1)
            seen = g.node("LessOrEqual", [g.constant(np.arange(LENGTH).reshape(1, 1, 1, LENGTH)), queries], 1)
            return self.attention(g, q, k, v, seen)

        for number in range(BLOCKS):
            x = self.block(g, x, count, lambda g, i, q, k, v, n=number: attend(g, n, q, k, v))
        return g.model(self.end(g, x), *written, opset=24)

    def attention(self, g: Sequence, *parts: str, **more: int) -> str:
        return g.node("Attention", [*parts], D, q_num_heads=HEADS, kv_num_heads=self.key_heads, **more)

    def block(self, g: Sequence, x: str, length: int, attend) -> str:
        y, wide = g.norm(x, D, rms=self.llama), D // HEADS * self.key_heads
        q, k, v = (g.linear(y, D, n) for n in (D, wide, wide))
        q, k = self.rotated(g, q, HEADS, length), self.rotated(g, k, self.key_heads, length)
        x = g.node("Add", [x, g.linear(attend(g, 0, q, k, v), D, D)], D)
        y = g.norm(x, D, rms=self.llama)
        up = g.node("Gelu", [g.linear(y, D, 2 * D)], 2 * D)
        return g.node("Add", [x, g.linear(up, 2 * D, D)], D)

    def end(self, g: Sequence, x: str) -> str:
        return g.linear(g.norm(x, D, rms=self.llama), D, TOKENS, bias=False)


def steps_in_float(model, tokens):
    """Inputs of every step, with the caches that ONNX Runtime makes."""
    reference = Reference(model)
    inputs = [v.name for v in model.graph.input]
    outputs = [v.name for v in model.graph.output]
    state = {
        n: np.zeros([d.dim_value for d in v.type.tensor_type.shape.dim], np.float32)
        for n, v in zip(inputs, model.graph.input, strict=True)
        if n[0] in "kv"
    }
    found = []
    for i, token in enumerate(tokens):
        found.append({"tokens": np.array([[token]]), "positions": np.array([[i]]), **state})
        made = reference.run(found[-1])
        state = dict(zip(state, [made[n] for n in outputs[1:]], strict=True))
    return found


def compiled(model, rng, config="tiny"):
    calibration = [s for _ in range(12) for s in steps_in_float(model, rng.integers(0, TOKENS, LENGTH))]
    names = [v.name for v in model.graph.input if v.name[0] in "kv"]
    carry = dict(zip(names, [v.name for v in model.graph.output][1:], strict=True))
    return compile_file(model, load(config), CompileOptions(calibration=calibration, carry=carry, check=True)).program


@pytest.mark.parametrize("llama", [False, True], ids=["gpt", "llama"])
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_steps_are_the_whole_sequence(llama, config):
    rng = np.random.default_rng(3)
    decoder = Decoder(llama=llama)
    step, whole = decoder.step(), decoder.whole()
    program = compiled(step, rng, config)
    assert len(program.carried) == 2 * BLOCKS
    tokens = rng.integers(0, TOKENS, LENGTH)
    positions = np.arange(LENGTH)[None]
    (wanted,) = Reference(whole).run({"tokens": tokens[None], "positions": positions}).values()
    session = vlarun.Session(program)
    logits = step.graph.output[0].name
    found = [
        session.run({"tokens": tokens[None, i : i + 1], "positions": positions[:, i : i + 1]}) for i in range(LENGTH)
    ]
    assert snr(wanted[0], np.concatenate([f[logits][0] for f in found])) > 25

    given, state = vlarun.Session(program), {}  # the same bytes where the user carries the state
    for i, made in enumerate(found):
        inputs = {"tokens": tokens[None, i : i + 1], "positions": positions[:, i : i + 1]}
        zeros = {c.model_input: np.zeros(made[c.model_output].shape) for c in program.carried}
        again = given.run(inputs | (state or zeros))
        assert all(np.array_equal(again[n], made[n]) for n in made)
        state = {c.model_input: again[c.model_output] for c in program.carried}


def test_a_prefix_at_once_and_steps_behind_it():
    """Two programs: what the first returns, the second begins with."""
    rng, prefix = np.random.default_rng(5), 6
    decoder = Decoder(llama=False)
    step, first, whole = decoder.step(), decoder.step(prefix), decoder.whole()
    positions, tokens = np.arange(LENGTH)[None], rng.integers(0, TOKENS, (1, LENGTH))
    names = [v.name for v in first.graph.input][2:]
    zeros = {n: np.zeros((1, HEADS, LENGTH, D // HEADS), np.float32) for n in names}
    calibration = [
        {"tokens": rng.integers(0, TOKENS, (1, prefix)), "positions": positions[:, :prefix], **zeros} for _ in range(32)
    ]
    made = vlarun.Session(compile_file(first, load("tiny"), CompileOptions(calibration=calibration)).program).run(
        {"tokens": tokens[:, :prefix], "positions": positions[:, :prefix], **zeros}
    )
    logits, *written = (made[v.name] for v in first.graph.output)
    session, state = vlarun.Session(compiled(step, rng)), dict(zip(names, written, strict=True))
    found = [logits[0]]
    for i in range(prefix, LENGTH):
        inputs = {"tokens": tokens[:, i : i + 1], "positions": positions[:, i : i + 1]}
        found.append(session.run(inputs | (state if i == prefix else {}))[step.graph.output[0].name][0])
    (wanted,) = Reference(whole).run({"tokens": tokens, "positions": positions}).values()
    assert snr(wanted[0], np.concatenate(found)) > 25


def test_several_runs_follow_each_other():
    rng = np.random.default_rng(4)
    step = Decoder(llama=False).step()
    session = vlarun.Session(compiled(step, rng))
    tokens, positions = rng.integers(0, TOKENS, (LENGTH, 1)), np.arange(LENGTH)[:, None]
    logits = step.graph.output[0].name
    together = session.run({"tokens": tokens, "positions": positions})[logits]
    session.forget()
    for i in range(LENGTH):
        each = session.run({"tokens": tokens[i : i + 1], "positions": positions[i : i + 1]})[logits]
        assert np.array_equal(each[0], together[i])


@pytest.mark.parametrize(
    ("carry", "text"),
    [
        ({"k0": "nothing"}, "no output 'nothing'"),
        ({"nothing": "k0"}, "no input 'nothing'"),
        ({"tokens": "logits"}, "float32"),
    ],
)
def test_wrong_names_are_refused(carry, text):
    model = Decoder(llama=False).step()
    if "logits" in carry.values():
        carry = {"tokens": model.graph.output[0].name}
    with pytest.raises(ModelError, match=text):
        compile_file(model, load("tiny"), CompileOptions(calibration="random:1", carry=carry))
