"""Limits and what is added, of masks: together they are the mask again, and what has a limit needs no tensor."""

import numpy as np
import onnx_ir as ir
import pytest
from small_graphs import model

from vlac.model.mask_structure import mask_structure
from vlac.rewrite.sequence import recover_sequences

Q, K = 5, 7
NEVER = -np.inf
MASKED = -32768


def attention(mask, *, queries=Q, keys=K, batch=1, **attributes):
    values = [ir.Value(name=n, shape=ir.Shape([batch, s, 8])) for n, s in (("q", queries), ("k", keys), ("v", keys))]
    if mask is not None:
        tensor = ir.tensor(np.asarray(mask))
        values.append(ir.Value(name="m", shape=ir.Shape(mask.shape), const_value=tensor))
    return ir.node("Attention", values, {"q_num_heads": 2, "kv_num_heads": 2, **attributes})


def added(found, heads=1):
    """The mask that a structure stands for, in 1/256."""
    inside = np.arange(K) < (found.limit + found.limit_step * np.arange(Q))[:, None]
    rest = 0 if found.constant is None else found.constant
    return np.broadcast_to(np.where(inside, rest, MASKED), (heads, Q, K))


def units(mask, heads=1):
    """A mask of one of a batch in 1/256, half to even."""
    wanted = [MASKED if x < -1e4 else round(x * 256) for x in np.asarray(mask, np.float64).reshape(-1)]
    return np.broadcast_to(np.reshape(wanted, np.shape(mask)[-3:]), (heads, Q, K))


def tri(shift=0):
    return np.where(np.tri(Q, K, shift), 0, NEVER).astype(np.float32)[None, None]


def keys(*masked):
    return np.where(np.isin(np.arange(K), masked), NEVER, 0).astype(np.float32).reshape(1, 1, 1, K)


RNG = np.random.default_rng(0)
MASKS = {
    "causal": (tri(), 1, 1, "none"),
    "causal behind a past": (tri(2), 3, 1, "none"),
    "padding at the end": (keys(5, 6), 5, 0, "none"),
    "padding inside": (keys(1, 6), 6, 0, "row"),
    "causal and padding": (tri(2) + keys(0), 3, 1, "row"),
    "bias": (RNG.standard_normal((1, 2, Q, K)).astype(np.float32), K, 0, "tensor"),
    "causal bias": (tri(2) + RNG.standard_normal((1, 2, Q, K)).astype(np.float32), 3, 1, "tensor"),
    "prefix": (np.where(np.tri(Q, K, 0) + (np.arange(K) < 3), 0, NEVER).astype(np.float32)[None, None], 3, 1, "tensor"),
    "window": (tri(2) + np.where(np.tri(Q, K, -1), NEVER, 0).astype(np.float32), 3, 1, "tensor"),
}


@pytest.mark.parametrize("name", MASKS)
def test_structure(name):
    mask, limit, step, kind = MASKS[name]
    found = mask_structure(attention(mask))
    assert np.array_equal(added(found, mask.shape[1]), units(mask, mask.shape[1]))
    if name != "prefix":  # its limit may be either
        assert (found.limit, found.limit_step, found.kind) == (limit, step, kind)


def test_truth_values():
    found = mask_structure(attention(np.isfinite(tri(2))))
    assert (found.limit, found.limit_step, found.kind) == (3, 1, "none")


def test_no_mask_and_causal():
    assert mask_structure(attention(None)).limit == K
    found = mask_structure(attention(None, is_causal=1))
    assert (found.limit, found.limit_step) == (1, 1)


@pytest.mark.parametrize("seed", range(30))
def test_random_masks(seed):
    rng = np.random.default_rng(seed)
    mask = np.where(rng.random((1, 2, Q, K)) > rng.random(), 0, NEVER).astype(np.float32)
    mask = mask + (rng.random() > 0.5) * rng.standard_normal((1, 1, 1, K)).astype(np.float32)
    mask = mask + np.where(np.tri(Q, K, int(rng.integers(-1, K))), 0, NEVER).astype(np.float32)
    found = mask_structure(attention(mask))
    assert np.array_equal(added(found, 2), units(mask, 2))


def test_every_query_hides_everything():
    found = mask_structure(attention(np.full((1, 1, Q, K), NEVER, np.float32)))
    assert (found.limit, found.kind) == (0, "none")


def test_what_rounds_to_nothing_is_nothing():
    found = mask_structure(attention(np.full((Q, K), 1e-4, np.float32)))
    assert (found.limit, found.kind) == (K, "none")


def test_causal_beside_a_constant_mask():
    """Padding of a causal attention is a row: what the limit masks is left out of it."""
    found = mask_structure(attention(keys(1, 5, 6), is_causal=1))
    assert (found.limit, found.limit_step, found.kind) == (1, 1, "row")
    assert np.array_equal(added(found), units(keys(1, 5, 6) + tri()))


def test_each_of_a_batch_has_its_own_limit():
    mask = np.concatenate([keys(5, 6), keys(3, 4, 5, 6), keys(0)])
    found = [mask_structure(attention(mask, batch=3), number) for number in range(3)]
    assert [(f.limit, f.kind) for f in found] == [(5, "none"), (3, "none"), (K, "row")]


def test_heads_that_are_alike_share_a_mask():
    bias = np.tile(RNG.standard_normal((1, 1, Q, K)).astype(np.float32), (1, 2, 1, 1))
    assert mask_structure(attention(bias)).constant.shape == (1, Q, K)


@pytest.mark.parametrize("slope", [100.0, -100.0, 40.0])
@pytest.mark.parametrize("causal", [0, 1])
def test_far_from_zero_is_taken_from_the_row(slope, causal):
    """ALiBi by key positions: nothing that a query sees is at the end of the 128 nat, and differences stay."""
    bias = np.stack([slope * np.arange(K), slope / 8 * (1 - K + np.arange(K))])[None, :, None].astype(np.float32)
    wanted = np.broadcast_to(bias, (1, 2, Q, K)) + (tri() if causal else 0)
    wanted = wanted - wanted.max(axis=-1, keepdims=True)
    found = mask_structure(attention(bias, is_causal=causal))
    shares, exact = (np.exp(m) / np.exp(m).sum(axis=-1, keepdims=True) for m in (added(found, 2) / 256, wanted[0]))
    assert np.allclose(shares, exact, atol=1e-2)
    assert causal or found.kind == "row"


@pytest.mark.parametrize("shape", [(K,), (1, K), (Q, 1), (Q, K), (2, 1, K), (2, Q, K)])
def test_axes_that_are_left_out(shape):
    mask = RNG.standard_normal(shape).astype(np.float32)
    found = mask_structure(attention(mask))
    whole = np.broadcast_to(mask, (2, Q, K))
    assert np.array_equal(added(found, 2), units(whole, 2))


def recovered_mask(mask, inputs, constants):
    """The structure of a masked attention behind the rewrites."""
    body = f"t = Transpose<perm = [0, 1, 3, 2]>(k) l = MatMul(q, t) {mask} p = Softmax(s) y = MatMul(p, v)"
    heads = "float[1,2,5,8] q, float[1,2,5,8] k, float[1,2,5,8] v, "
    found = model(body, heads + inputs, opset=18, constants=constants)
    recover_sequences(found)
    (node,) = [n for n in found.graph if n.op_type == "Attention"]
    return mask_structure(node)


def test_causal_and_padding_are_a_limit_and_a_row():
    causal = np.tri(5, dtype=bool)[None, None]
    mask = "a = Cast<to = 9>(m) b = Unsqueeze(a, i) c = And(b, tri) s = Where(c, l, never)"
    constants = {"tri": causal, "i": np.array([1, 2]), "never": np.float32(-np.inf)}
    found = recovered_mask(mask, "int64[1,5] m", constants)
    assert (found.limit, found.limit_step, found.kind) == (1, 1, "row")
    assert found.computed is not None and found.computed.dtype == ir.DataType.BOOL


def test_padding_that_was_expanded_over_heads_is_a_row():
    mask = "a = Where(m, never, zero) b = Unsqueeze(a, i) c = Expand(b, e) s = Add(l, c)"
    constants = {
        "never": np.float32(-np.inf),
        "zero": np.float32(0),
        "i": np.array([1, 2]),
        "e": np.array([1, 2, 5, 5]),
    }
    found = recovered_mask(mask, "bool[1,5] m", constants)
    assert (found.limit, found.limit_step, found.kind) == (5, 0, "row")


def test_a_computed_bias_is_a_tensor():
    found = recovered_mask("s = Add(l, m)", "float[1,2,5,5] m", {})
    assert (found.limit, found.limit_step, found.kind) == (5, 0, "tensor")


def test_a_mask_in_front_of_the_scale_is_scaled():
    bias = RNG.standard_normal((1, 2, 5, 5)).astype(np.float32)
    found = recovered_mask("a = Add(l, bias) s = Mul(a, half)", "float[1] x", {"bias": bias, "half": np.float32(0.5)})
    assert np.abs(found.constant / 256 - bias / 2).max() <= 1 / 512
