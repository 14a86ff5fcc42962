"""Attention as a chain of operations for each head; their order is a pipeline over the heads.

    for each head of keys:  K to weights, V transposed, V to weights
    for each head:          logits (GEMM, with maxima) -> softmax -> mix (GEMM)

The logits of a head are made in front of the mix of earlier heads, so that vector work runs beside the array.
Not here: which attention the machine takes (`ops/attention.py`), the softmax (`softmax.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT16
from vla_isa.numerics import scale_to_multiplier
from vlac.device.concat import ConcatOp
from vlac.device.product import LogitsOp
from vlac.device.to_weights import ToWeightsOp, TransposeOp
from vlac.ir.operation import Home, Op, Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.softcap import MASK_UNIT, capped, joined_mask, uncapped_unit
from vlac.lowering.softmax import Softmax
from vlac.model.exponent_form import ExponentForm
from vlac.model.mask_structure import LOGIT

__all__ = ["Attention", "Mask", "lower_attention"]

I64 = NDArray[np.int64]
_AHEAD = 1  # heads whose logits are made in front of a mix


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees: `limit` + `step` * query of the first, and an int16 [heads or 1, queries or 1, keys] in
    units of LOGIT that is added, -32768 where a key is masked; or `computed`, such tensors [1, queries or 1, keys] of
    each head, or one for all (behind a cap in MASK_UNIT).
    """

    limit: int
    step: int = 0
    added: NDArray[np.int16] | None = None
    computed: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Attention:
    """An attention of q [1, M, heads * d], k [1, S, key_heads * d] and v [1, S, key_heads * e], each [*, heads, d] of a
    pixel; `out` is [1, M, heads * e]. Logits are cap * tanh(logits / cap) where `cap` is not 0.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor
    heads: int
    key_heads: int
    scale: float
    mask: Mask
    form: ExponentForm
    cap: float = 0.0


def lower_attention(low: LoweringContext, node: ir.Node, label: str, a: Attention) -> None:
    """Add the operations."""
    chain = _Chain(low, node, label, a)
    results: list[Tensor] = []
    waiting: list[list[Op]] = []  # mixes of the heads before
    for head in range(a.heads):
        weights = chain.keys(head * a.key_heads // a.heads)
        waiting.append(chain.head(head, *weights))
        results.append(waiting[-1][-1].output)
        if len(waiting) > _AHEAD:
            _insert(low, waiting.pop(0))
    for ops in waiting:
        _insert(low, ops)
    if a.heads > 1:
        low.graph.insert(ConcatOp(label, "Concat", results, a.out))


def _insert(low: LoweringContext, ops: list[Op]) -> None:
    for op in ops:
        low.graph.insert(op)


class _Chain:
    def __init__(self, low: LoweringContext, node: ir.Node, label: str, a: Attention) -> None:
        self.low, self.node, self.label, self.a = low, node, label, a
        self.known: dict[int, tuple[Tensor, Tensor]] = {}
        self.masks: dict[int, Tensor] = {}

    def _tensor(self, what: str, shape: tuple[int, ...], scale: float, **more: object) -> Tensor:
        name, label = (f"{text}:{what}" for text in (self.a.out.name, self.a.out.label))
        return Tensor(name, label, shape, scale, 0, **more)  # type: ignore[arg-type]

    def _head_of(self, x: Tensor, which: str, head: int, heads: int) -> Tensor:
        """The channels of a head."""
        d = x.c // heads
        if heads == 1:
            return x
        out = self._tensor(f"{which}{head}", (1, x.w, d), x.scale)
        index = (np.arange(x.w)[:, None] * x.c + head * d + np.arange(d)).reshape(-1)
        return self.low.layout(self.node, [x], index, out)

    def keys(self, head: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a head as weights; once for all heads that share them."""
        if head not in self.known:
            self.known[head] = (
                self._weights(self._head_of(self.a.k, "k", head, self.a.key_heads), f"k{head}"),
                self._values(head),
            )
        return self.known[head]

    def _weights(self, x: Tensor, what: str) -> Tensor:
        out = self._tensor(f"{what}:weights", x.shape, x.scale, home=Home.WEIGHTS)
        self.low.graph.insert(ToWeightsOp(self.label, "Attention", [x], out))
        return out

    def _values(self, head: int) -> Tensor:
        x = self._head_of(self.a.v, "v", head, self.a.key_heads)
        turned = self._tensor(f"v{head}:transposed", (1, x.c, x.w), x.scale)
        if x.constant is not None:
            turned.constant = x.constant.reshape(1, x.w, x.c).transpose(0, 2, 1)
        else:
            self.low.graph.insert(TransposeOp(self.label, "Attention", [x], turned))
        return self._weights(turned, f"v{head}")

    def head(self, head: int, keys: Tensor, values: Tensor) -> list[Op]:
        """Everything of a head but its mix, which is returned."""
        a, graph = self.a, self.low.graph
        q = self._head_of(a.q, "q", head, a.heads)
        m, s = q.w, keys.w
        out = a.out if a.heads == 1 else self._tensor(f"head{head}", (1, m, values.w), a.out.scale)

        def tensor(what: str, *size: Any, **more: Any) -> Tensor:
            name, _, rest = what.partition(":")
            return self._tensor(f"{name}{head}{rest and ':' + rest}", *size, **more)

        unit = uncapped_unit(a.cap) if a.cap else LOGIT
        logits = tensor("logits", (1, m, s), unit, type=INT16, with_items=True)
        mult, shift = scale_to_multiplier(float(np.float32(q.scale * keys.scale * a.scale / unit)))
        inputs, limit, maxima = [q, keys], (s, 0), None
        if not a.cap:
            inputs, limit = [*inputs, *self._mask(head)], (a.mask.limit, a.mask.step)
        graph.insert(LogitsOp(self.label, "Attention", inputs, logits, mult, shift, *limit))
        if a.cap:
            logits, maxima = capped(graph, self.label, tensor, logits, a.cap, self._masks_behind_cap(head, m, s))
        return Softmax(graph, self.label, tensor, logits, values, out, maxima).add(a.form)

    def _masks_behind_cap(self, head: int, queries: int, keys: int) -> list[Tensor]:
        """Every mask as a tensor: limit and constant as one."""
        mask = self.a.mask
        found = [mask.computed[head if len(mask.computed) > 1 else 0]] if mask.computed else []
        whole = joined_mask(mask.limit, mask.step, mask.added, (queries, keys))
        if not whole.any():
            return found
        return [self._constant_mask(whole, head, MASK_UNIT), *found]

    def _mask(self, head: int) -> list[Tensor]:
        added, computed = self.a.mask.added, self.a.mask.computed
        if computed:
            return [computed[head if len(computed) > 1 else 0]]
        if added is None:
            return []
        return [self._constant_mask(added, head, LOGIT)]

    def _constant_mask(self, added: NDArray[np.int16], head: int, unit: float) -> Tensor:
        number = head if len(added) > 1 else 0
        if number not in self.masks:
            data = added[number]
            self.masks[number] = self._tensor(f"mask{number}", (1, *data.shape), unit, constant=data[None], type=INT16)
        return self.masks[number]
