"""Keys and values of earlier runs, computed masks, and several sequences at once, against ONNX Runtime in float."""

import numpy as np
import onnx
import pytest
from block_shapes import ExpertShape
from blocks import Block, Sequence
from exported import exported
from on_device import check
from spellings import CASES

import vlarun
from vla_isa.hardware import load
from vlarun.errors import MachineError

D, HEADS, PAST, NEW = 32, 2, 6, 3


def with_past(config, *, causal, batch=1, key_heads=HEADS, heads_first=False):
    """An attention over keys that came in and new ones; all of them come back."""
    g = Sequence("past")
    d = D // HEADS
    x = g.input("x", (batch, NEW, D))
    old = [g.input(f"past_{i}", (batch, key_heads, PAST, d)) for i in "kv"]
    parts = [g.linear(x, D, n) for n in (D, key_heads * d, key_heads * d)]
    y, *new = (f"{name}_now" for name in "ykv")
    g.nodes.append(
        onnx.helper.make_node(
            "Attention", [*parts, "", *old], [y, *new], is_causal=causal, q_num_heads=HEADS, kv_num_heads=key_heads
        )
    )
    return check(g.finished(g.linear(y, D, D), *new), config, samples=64)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("causal", [0, 1])
def test_past(config, causal):
    found = with_past(config, causal=causal)
    scales = {t.name: t.scale for t in [*found.state.program.inputs, *found.state.program.outputs]}
    assert scales["past_k"] == scales["k_now"] and scales["past_v"] == scales["v_now"]


def test_past_of_shared_heads():
    with_past("tiny", causal=1, key_heads=1)


def test_past_of_a_batch():
    with_past("tiny", causal=1, batch=3)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_past_that_is_only_read(config):
    """Of a prefix, rotated keys behind it, as an action expert has them; nothing comes back."""
    pytest.importorskip("torch")
    from experts import exported_expert

    shape = ExpertShape(rows=9, prefix=20, width=32, heads=4, key_heads=1, head=16, hidden=64)
    found = check(exported_expert(shape, 2), config, samples=32, least=25.0)
    assert {s.kind for s in found.stages} >= {"norm", "rotation", "logits", "mix"}


def test_block_of_a_batch():
    g = Sequence("batch")
    x = Block(7, 32, 2, 1, causal=True).add(g, g.input("x", (3, 7, 32)))
    check(g.finished(x), "tiny")


def masked(mask_of, *inputs, config="tiny", batch=1, fixed=None):
    """An attention whose mask `mask_of` makes of further inputs; `fixed` is of `check`."""
    g = Sequence("masked")
    x = g.input("x", (batch, 7, D))
    for name, kind, shape in inputs:
        g.inputs.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    parts = [g.linear(x, D, D) for _ in range(3)]
    y = g.node("Attention", [*parts, mask_of(g)], D, q_num_heads=HEADS, kv_num_heads=HEADS)
    return check(g.finished(g.linear(y, D, D)), config, samples=64, seed=8, fixed=fixed)


FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def test_added_mask():
    found = masked(lambda g: "m", ("m", FLOAT, (1, HEADS, 7, 7)))
    assert sum(len(t.layout.shape) == 3 and t.layout.planes == 2 for t in found.state.program.inputs) >= HEADS


@pytest.mark.parametrize("never", [-1e9, -2.3819763e38, np.finfo(np.float32).min])
def test_added_mask_of_the_least_number(never):
    """As frameworks hand them on: no scale is made for them. Some of them meet a constant one, which overflows."""
    causal = np.where(np.tri(7), 0, np.float32(never)).astype(np.float32)[None, None]
    given = np.where(np.arange(7) < 5, 0, np.float32(never)).astype(np.float32).reshape(1, 1, 1, 7)
    mask = ("m", FLOAT, (1, 1, 1, 7))
    masked(lambda g: g.node("Add", ["m", g.constant(causal)], 7), mask, fixed={"m": given})


def test_keys_that_count():
    """A number says how many keys are no padding."""

    def mask(g):
        few = g.node("Mod", ["n", g.constant(np.array(7))], 1)
        kept = g.node("LessOrEqual", [g.constant(np.arange(7).reshape(1, 1, 1, 7)), few], 7)
        return g.node("Expand", [kept, g.constant(np.array([1, 1, 7, 7]))], 7)

    masked(mask, ("n", INT64, (1, 1, 1, 1)), batch=2)


def test_causal_by_positions():
    """Positions, an input, say which key is earlier."""

    def mask(g):
        queries = g.node("Reshape", ["p", g.constant(np.array([1, 1, 7, 1]))], 1)
        keys = g.node("Reshape", ["p", g.constant(np.array([1, 1, 1, 7]))], 7)
        seen = g.node("LessOrEqual", [keys, queries], 7)
        never = g.constant(np.array(-np.inf, np.float32))
        return g.node("Where", [seen, g.constant(np.array(0, np.float32)), never], 7)

    masked(mask, ("p", INT64, (1, 7)))


def test_angles_of_positions():
    """Cosines and sines of positions, an input, of two sequences."""
    g = Sequence("angles")
    x = g.input("x", (2, 7, D))
    g.inputs.append(onnx.helper.make_tensor_value_info("p", INT64, (2, 7)))
    real = g.node("Cast", [g.node("Reshape", ["p", g.constant(np.array([2, 7, 1]))], 1)], 1, to=FLOAT)
    angles = g.node("MatMul", [real, g.constant(100.0 ** -np.linspace(0, 1, 4, dtype=np.float32).reshape(1, 4))], 4)
    tables = [g.node(f, [angles], 4) for f in ("Cos", "Sin")]
    parts = [g.linear(x, D, D) for _ in range(3)]
    for i in range(2):
        parts[i] = g.node("RotaryEmbedding", [parts[i], *tables], D, num_heads=HEADS, rotary_embedding_dim=8)
    y = g.node("Attention", parts, D, q_num_heads=HEADS, kv_num_heads=HEADS)
    check(g.finished(g.linear(y, D, D)), "tiny", samples=64, least=29.0)


def written_as_users_do(name, exporter="dynamo-18"):
    """The module of a spelling, exported."""
    pytest.importorskip("torch")
    model, arrays = exported(next(c for c in CASES if c.name == name), exporter)
    fixed = {n: a for n, a in arrays.items() if a.dtype.kind != "f" or set(np.unique(a)) <= {0, 1}}
    return check(model, "tiny", least=20.0, samples=64, fixed=fixed)


@pytest.mark.parametrize("name", ["cache", "cache_grouped", "cache_several", "cache_rows", "prefix_keys", "rope_cache"])
def test_exported_caches(name):
    written_as_users_do(name)


@pytest.mark.parametrize("name", ["qk_norm", "qk_rms_norm", "qk_norm_behind"])
def test_exported_norms_of_queries_and_keys(name):
    found = written_as_users_do(name)
    assert sum(s.kind == "norm" for s in found.stages) == 2


@pytest.mark.parametrize(
    "name", ["sdpa_bool", "sdpa_float", "padding_additive", "padding_and_causal", "rope_positions", "rope_table"]
)
def test_exported_masks_and_positions(name):
    written_as_users_do(name)


def scattered(config, length=9, count=1, *, mode="linear", returned=True, read_again=False):
    """An attention over a cache of fixed length that new keys and values are written into."""
    g = Sequence("scattered")
    x = g.input("x", (1, count, D))
    g.inputs.append(onnx.helper.make_tensor_value_info("at", INT64, (1,)))
    d = D // HEADS
    parts = [g.linear(x, D, D) for _ in range(3)]
    caches = [g.input(f"past_{i}", (1, HEADS, length, d)) for i in "kv"]
    written = []
    for part, cache in zip(parts[1:], caches, strict=True):
        heads = g.node("Reshape", [part, g.constant(np.array([1, count, HEADS, d]))], d)
        heads = g.node("Transpose", [heads], d, perm=[0, 2, 1, 3])
        written.append(g.node("TensorScatter", [cache, heads, "at"], d, axis=2, mode=mode))
    flat = [
        g.node("Reshape", [g.node("Transpose", [w], D, perm=[0, 2, 1, 3]), g.constant(np.array([1, length, D]))], D)
        for w in written
    ]
    y = g.node("Attention", [parts[0], *flat], D, q_num_heads=HEADS, kv_num_heads=HEADS)
    fixed = {"at": np.array([length - count if mode == "linear" else length - 1])}
    results = [g.linear(y, D, D), *(written if returned else [])]
    results += [g.node("Add", [cache, cache], d) for cache in caches if read_again]
    model = g.model(*results, opset=24)
    return check(model, config, samples=64, seed=8, fixed=fixed)


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("how", [{}, {"count": 3}, {"count": 3, "mode": "circular"}, {"returned": False}], ids=str)
def test_written_at_a_position(how, config):
    """In place: nothing is copied."""
    found = scattered(config, **how)
    assert found.packets.count("TensorScatter") == 2 * D // load(config).block


def test_written_into_a_copy():
    """Where something else reads the cache as it was."""
    scattered("tiny", read_again=True)


def test_behind_the_end_of_a_cache_stops_the_machine():
    found = scattered("tiny", count=3)
    session = vlarun.Session(found.state.program)
    inputs = {v.name: np.zeros(v.shape) for v in found.state.program.model_inputs}
    session.run(inputs | {"at": np.array([6])})
    for bad in (7, -1):
        with pytest.raises(MachineError, match="INDEX_RANGE"):
            session.run(inputs | {"at": np.array([bad])})
