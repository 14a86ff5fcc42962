"""Which form the exponents of each attention take: the cheapest that leaves its result near float on calibration data.

Exponents of 8 bits lose where a row has many keys with a small share each. How much that is depends on the values that
are mixed as well, so both are taken from the float model, and the machine's exponents are computed of its logits.
Not here: what the machine does for each form (`lowering/softmax.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT8, INT16
from vlac.model.exponent_form import ExponentForm, set_exponent_form
from vlac.model.mask_structure import LOGIT, NEVER, past_length, without_row_maxima
from vlac.model.reading import attribute, constant, shape_of

__all__ = [
    "AttentionOperands",
    "attention_heads",
    "choose_exponents",
    "computed_operands",
    "exponent_noise",
    "is_attention",
    "logit_scale",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_SAMPLES = 4  # runs of the float model
_ROWS, _HEADS = 32, 8  # queries of a head that are looked at, in a run; of more heads, so many of all together
_FEW = 48  # keys up to which rounded exponents are always taken
_MOST = 10**-3.3  # noise of a mix beside its signal: 33 dB, as 30 dB are asked of the whole node on any data


class AttentionOperands:
    """Watches queries, keys, values and masks of the attentions whose exponents have a choice; see `Watcher`."""

    most = _SAMPLES

    def __init__(self, model: ir.Model) -> None:
        nodes = [n for n in model.graph if is_attention(n) and _keys(n) > _FEW]
        self.names = list(dict.fromkeys(v.name or "" for n in nodes for v in computed_operands(n)))
        self.noises: dict[ir.Node, list[F64]] = {n: [] for n in nodes}

    def see(self, values: Mapping[str, NDArray[np.generic]]) -> None:
        """Compute what the exponents of each head lose."""
        for node, noises in self.noises.items():
            rows = _ROWS * _HEADS // max(_HEADS, _query_heads(node))
            noises += [exponent_noise(*head) for head in attention_heads(node, values, max(rows, 1))]


def choose_exponents(model: ir.Model, watched: AttentionOperands) -> None:
    """Write the form of its exponents to every Attention node of a float model, as the rewrites leave them."""
    for node in model.graph:
        if not watched.noises.get(node):  # few keys, or nothing but constants
            continue
        signal, rounded, dithered = np.sum(watched.noises[node], axis=0)
        most = _MOST * signal
        cheap = ExponentForm.ROUNDED if rounded <= most else ExponentForm.DITHERED
        set_exponent_form(node, cheap if min(rounded, dithered) <= most else ExponentForm.WIDE)


def exponent_noise(logits: F64, values: F64) -> F64:
    """Power of the exact mix, and of what rounded and dithered exponents add to it.

    Args:
        logits: [queries, keys]; -inf is masked.
        values: [keys, channels].
    """
    masked = logits <= NEVER
    x = np.where(masked, numerics.MASKED, np.clip(np.rint(logits / LOGIT), INT16.lo + 1, INT16.hi)).astype(np.int64)
    seen = ~masked.all(axis=1)
    x, top = x[seen], x[seen].max(axis=1, keepdims=True)
    exact = _mixed(np.where(x == numerics.MASKED, 0.0, np.exp((x - top) * LOGIT)), values)
    noise = [np.square(_mixed(e, values) - exact).sum() for e in (_rounded(x, top), _dithered(x, top))]
    return np.array([np.square(exact).sum(), *noise])


def _mixed(shares: NDArray[np.number], values: F64) -> F64:
    mixed: F64 = (shares @ values) / shares.sum(axis=1, keepdims=True)
    return mixed


def _rounded(x: I64, top: I64) -> I64:
    a_mult, shift, table = numerics.exponents(LOGIT)
    return numerics.apply_table(_indices(x, top, a_mult, shift), table).astype(np.int64)


def _dithered(x: I64, top: I64) -> I64:
    a_mult, shift, table = numerics.dithered_exponents(LOGIT)
    return numerics.dithered(_indices(x, top, a_mult, shift), table, np.arange(x.shape[1]))


def _indices(x: I64, top: I64, a_mult: int, shift: int) -> I64:
    """What the tables are asked with."""
    scales = {"a_mult": a_mult, "c_mult": 0, "c_shift": 0, "shift": shift, "rounding": Rounding.NEAREST_EVEN}
    q = numerics.clamp(numerics.linear(numerics.less(x, top), 0, **scales) + INT8.hi, INT8.lo, INT8.hi)
    return np.where(x == numerics.MASKED, INT8.lo, q)


# --- logits and values of the float model -----------------------------------------------------------------


def _keys(node: ir.Node) -> int:
    return past_length(node) + shape_of(node.inputs[1])[-2]


def _query_heads(node: ir.Node) -> int:
    """How many heads of queries an Attention has."""
    shape = shape_of(node.inputs[0])
    return int(shape[1] if len(shape) == 4 else attribute(node, "q_num_heads", 1))


def is_attention(node: ir.Node) -> bool:
    """Whether it is ONNX's own Attention."""
    return node.op_type == "Attention" and node.domain in ("", "ai.onnx")


def computed_operands(node: ir.Node) -> list[ir.Value]:
    """Those of an Attention that are no constants."""
    return [v for v in node.inputs[:6] if v is not None and constant(v) is None]


def logit_scale(node: ir.Node, channels: int) -> float:
    """What the products of queries and keys of so many channels a head are multiplied by."""
    return float(attribute(node, "scale", None) or 1 / math.sqrt(channels))


def attention_heads(
    node: ir.Node, known: Mapping[str, NDArray[np.generic]], most: int | None = None
) -> Iterator[tuple[F64, F64]]:
    """(logits [queries, keys], values [keys, channels]) of each head of each of the batch, as the machine has them.

    Args:
        known: operands that are no constants, by name.
        most: so many queries, spread over all; None for all.
    """

    def array(index: int) -> NDArray[np.generic] | None:
        value = node.inputs[index] if index < len(node.inputs) else None
        given = constant(value)
        return given if given is not None or value is None else known[value.name or ""]

    counts = [attribute(node, f"{which}_num_heads", 1) for which in ("q", "kv", "kv")]
    q, k, v = (_four(array(i), n) for i, n in enumerate(counts))
    if (past_k := array(4)) is not None and (past_v := array(5)) is not None:
        k, v = np.concatenate([past_k, k], axis=2), np.concatenate([past_v, v], axis=2)
    scale = logit_scale(node, q.shape[3])
    cap = attribute(node, "softcap", 0.0)
    queries, keys, group = q.shape[2], k.shape[2], q.shape[1] // k.shape[1]
    rows = np.unique(np.linspace(0, queries - 1, min(queries, most or queries)).astype(int))
    added = _added(array(3), (*q.shape[:2], queries, keys), rows)
    if attribute(node, "is_causal", 0):
        added = np.where(np.tri(queries, keys, past_length(node), dtype=bool)[rows], added, -np.inf)
    if constant(node.inputs[3] if len(node.inputs) > 3 else None) is not None:
        added = without_row_maxima(added)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            logits = q[b, h, rows] @ k[b, h // group].T * scale
            logits = cap * np.tanh(logits / cap) if cap else logits
            yield logits + np.broadcast_to(added, (*q.shape[:2], len(rows), keys))[b, h], v[b, h // group]


def _four(x: NDArray[np.generic] | None, heads: int) -> F64:
    """An operand as [batch, heads, length, channels]."""
    assert x is not None
    real = x.astype(np.float64)
    if real.ndim == 4:
        return real
    return real.reshape(*real.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _added(mask: NDArray[np.generic] | None, shape: tuple[int, ...], rows: NDArray[np.int_]) -> F64:
    """What is added to the logits of some queries, of four axes or fewer."""
    if mask is None:
        return np.zeros(1)
    added = np.where(mask, 0.0, -np.inf) if mask.dtype == np.bool_ else mask.astype(np.float64)
    return np.broadcast_to(added, shape)[:, :, rows]
