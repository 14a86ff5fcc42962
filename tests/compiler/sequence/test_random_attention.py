"""Random attentions, of every part in every spelling: each becomes one node and computes the same.

Of one key, without a computed mask, nothing but moves is left.
"""

import numpy as np
import onnx_ir as ir
import pytest
from recovered import check
from small_graphs import model

FEW, ALL = 30, 200


class Text:
    """A graph in ONNX's text form, line by line."""

    def __init__(self, rng):
        self.rng, self.lines, self.constants, self.inputs, self.count = rng, [], {}, {}, 0

    def __call__(self, call):
        self.count += 1
        self.lines.append(f"v{self.count} = {call}")
        return f"v{self.count}"

    def constant(self, array):
        self.count += 1
        self.constants[f"c{self.count}"] = array
        return f"c{self.count}"

    def input(self, array):
        self.count += 1
        self.inputs[f"i{self.count}"] = array
        return f"i{self.count}"

    def choose(self, *options):
        return options[self.rng.integers(len(options))]

    def floats(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)


def attention(seed):
    """A random one as a graph."""
    t = Text(np.random.default_rng(seed))
    heads, d, dv = t.choose(1, 2, 3, 4), t.choose(1, 3, 8, 16), t.choose(2, 8)
    groups = t.choose(1, 1, 2, heads) if heads % 2 == 0 else 1
    queries, keys = t.choose(1, 2, 5, 7), t.choose(1, 2, 4, 6)
    batch = t.choose(1, 1, 1, 2)
    flat = t.choose(True, False)  # batch and heads as one axis
    turned = t.choose(True, False)  # values x weights, not weights x values
    kv = heads // groups
    q = split(t, batch, queries, heads, d)
    k = repeated(t, split(t, batch, keys, kv, d), (batch, kv, groups, keys, d))
    v = repeated(t, split(t, batch, keys, kv, dv), (batch, kv, groups, keys, dv))
    if flat:
        q, k, v = (shaped(t, x, (batch * heads, *s)) for x, s in ((q, (queries, d)), (k, (keys, d)), (v, (keys, dv))))
    lead = (batch * heads,) if flat else (batch, heads)
    k = t(f"Transpose<perm = {swapped(len(lead))}>({k})")
    q, k, factor = scaled(t, q, k, d)
    logits = t(f"MatMul({q}, {k})")
    logits = masked(t, logits, factor, (batch, heads, queries, keys), lead)
    weights = t(f"Softmax<axis = {t.choose(-1, len(lead) + 1)}>({logits})")
    if turned:
        v = t(f"Transpose<perm = {swapped(len(lead))}>({v})")
        weights = t(f"Transpose<perm = {swapped(len(lead))}>({weights})")
    y = t(f"MatMul({v}, {weights})" if turned else f"MatMul({weights}, {v})")
    if turned:
        y = t(f"Transpose<perm = {swapped(len(lead))}>({y})")
    if flat:
        y = shaped(t, y, (batch, heads, queries, dv))
    y = shaped(t, t(f"Transpose<perm = [0, 2, 1, 3]>({y})"), (batch, queries, heads * dv))
    t.lines.append(f"y = Tanh({y})")
    return t, keys


def swapped(rank):
    return [*range(rank), rank + 1, rank]


def shaped(t, x, shape):
    return t(f"Reshape({x}, {t.constant(np.array(shape))})")


def split(t, batch, length, heads, d):
    """[batch, heads, length, d] of a projection: batch or sequence first, a part of one that is wider, or as it is."""
    kind = t.choose("batch", "sequence", "part", "heads")
    if kind == "heads":
        return t.input(t.floats(batch, heads, length, d))
    if kind == "sequence":
        x = shaped(t, t.input(t.floats(length, batch, heads * d)), (length, batch * heads, d))
        return shaped(t, t(f"Transpose<perm = [1, 0, 2]>({x})"), (batch, heads, length, d))
    x = t.input(t.floats(batch, length, (3 if kind == "part" else 1) * heads * d))
    if kind == "part":
        first = t.choose(0, 1, 2) * heads * d
        x = t(f"Slice({x}, {', '.join(t.constant(np.array([n])) for n in (first, first + heads * d, 2))})")
    return t(f"Transpose<perm = [0, 2, 1, 3]>({shaped(t, x, (batch, length, heads, d))})")


def repeated(t, x, shape):
    batch, kv, groups, length, d = shape
    if groups == 1:
        return x
    x = shaped(t, x, (batch, kv, 1, length, d))
    ones = np.array([1, 1, groups, 1, 1])
    x = t(f"Expand({x}, {t.constant(np.array(shape))})" if t.choose(True, False) else f"Tile({x}, {t.constant(ones)})")
    return shaped(t, x, (batch, kv * groups, length, d))


def scaled(t, q, k, d):
    """Queries and keys, and what is still to be multiplied."""
    number = np.float32(d**-0.5)
    kind = t.choose("queries", "both", "behind", "none")
    if kind == "queries":
        return t(f"Mul({q}, {t.constant(number)})"), k, None
    if kind == "both":
        root = t.constant(np.sqrt(number))
        return t(f"Mul({root}, {q})"), t(f"Mul({k}, {root})"), None
    return q, k, number if kind == "behind" else None


def masked(t, logits, factor, shape, lead):
    scale_first = t.choose(True, False)
    if factor is not None and scale_first:
        logits = times(t, logits, factor)
    for _ in range(t.choose(0, 1, 1, 2)):
        logits = one_mask(t, logits, shape, lead)
    return times(t, logits, factor) if factor is not None and not scale_first else logits


def times(t, x, factor):
    if t.choose(True, False):
        return t(f"Mul({x}, {t.constant(factor)})")
    return t(f"Div({x}, {t.constant(np.float32(1 / factor))})")


def one_mask(t, logits, shape, lead):
    batch, heads, queries, keys = shape
    sizes = t.choose((1, 1, 1, keys), (1, 1, queries, keys), (1, heads, queries, keys), shape)
    if len(lead) == 1:
        sizes = (1, *sizes[2:]) if sizes[:2] == (1, 1) else (batch * heads, *sizes[2:])
    if t.choose(True, False):
        array = t.floats(*sizes)
        return t(f"Add({logits}, {t.choose(t.input, t.constant)(array)})")
    keep = t.rng.random(sizes) > 0.4
    keep[..., 0] = True
    if t.choose(True, False):
        keep = np.broadcast_to(
            np.tri(queries, keys, t.choose(0, 1, 2), dtype=bool), (*sizes[:-2], queries, keys)
        ).copy()
    mask, never = t.choose(t.input, t.constant)(keep), t.constant(np.float32(t.choose(-1e9, -np.inf, -3.4e38)))
    if t.choose(True, False):
        return t(f"Where({mask}, {logits}, {never})")
    zero = t.constant(np.float32(0))
    return t(f"Add({logits}, {t(f'Where({mask}, {zero}, {never})')})")


@pytest.mark.parametrize("seed", [*range(FEW), *(pytest.param(s, marks=pytest.mark.slow) for s in range(FEW, ALL))])
def test_random_attention(seed):
    t, keys = attention(seed)
    kinds = {"f": "float", "b": "bool"}
    inputs = ", ".join(f"{kinds[a.dtype.kind]}[{','.join(map(str, a.shape))}] {n}" for n, a in t.inputs.items())
    proto = ir.to_proto(model(" ".join(t.lines), inputs, opset=18, constants=t.constants))
    check(proto, t.inputs, {"Attention": 1} if keys > 1 else {}, ("Softmax", "MatMul"))
