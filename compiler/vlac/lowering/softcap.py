"""Capped logits, c * tanh(logits / c), as Gemma 2 has them: a function by lines, masks added behind it, maxima.

A mask comes behind the cap, so the product knows no limit here, and the maxima of its logits are of no use: all masks
are added (ROW), and the maxima are found again (REDUCE). Masks have twice the unit of logits, so that what is masked
stays below every other logit: -65536 and a cap of 32512 are -32768.
Not here: logits, the softmax (`attention.py`, `softmax.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import ReduceFunction, RowFunction, RowTable
from vla_isa.integer import INT16
from vla_isa.numerics import make_steps
from vlac.device.reduce import ReduceOp
from vlac.device.row import RowOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Tensor
from vlac.ir.records import Requant
from vlac.model.mask_structure import LOGIT

__all__ = ["LARGEST_CAP", "MASK_UNIT", "capped", "joined_mask", "uncapped_unit"]

LARGEST_CAP = 127.0  # nat, what int16 logits hold
MASK_UNIT = 2 * LOGIT
_REACH = 4.0  # caps that logits reach; tanh is 0.9993 there
_ONE, _TWICE, _SHIFT = 1 << 22, 1 << 23, 22


def uncapped_unit(cap: float) -> float:
    """The unit of int16 logits in front of a cap."""
    return _REACH * cap / INT16.hi


def joined_mask(limit: int, step: int, added: NDArray[np.int16] | None, sizes: tuple[int, int]) -> NDArray[np.int16]:
    """A limit and what is added in units of LOGIT as one mask [heads or 1, queries or 1, keys] in MASK_UNIT."""
    queries, keys = sizes
    inside = np.arange(keys) < (limit + step * np.arange(queries if step else 1))[:, None]
    given = np.zeros((1, 1, 1), np.int16) if added is None else added
    half = np.where(given == INT16.lo, INT16.lo, np.rint(given / 2))
    return np.where(inside, half, INT16.lo).astype(np.int16)


def capped(
    graph: Graph, label: str, tensor: Callable[..., Tensor], logits: Tensor, cap: float, masks: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Capped logits in LOGIT with masks added, and their maxima.

    Args:
        tensor: makes an intermediate tensor of a name, a shape and a scale.
        logits: int16 [1, M, S] in the unit of `uncapped_unit`.
        masks: int16 [1, M or 1, S] in MASK_UNIT.
    """
    steps = make_steps(lambda x: cap * np.tanh(x / cap), logits.scale, LOGIT)
    nothing = np.zeros(0, np.int64)
    x = logits
    for number, mask in enumerate([*masks] or [None]):
        out = tensor("capped" if not number else f"capped:{number}", logits.shape, LOGIT, type=INT16)
        inputs, roles = ([x], ("a",)) if mask is None else ([x, mask], ("a", "c"))
        row = RowOp(label, "Attention", inputs, out, roles, RowFunction.LINEAR, Requant(nothing, nothing, nothing, 0))
        row.a_mult, row.c_mult, row.shift = _ONE, 0 if mask is None else _TWICE, _SHIFT
        if not number:
            row.table_mode, row.table = RowTable.IN16, steps
        graph.insert(row)
        x = out
    maxima = tensor("maxima", (logits.w, 2), 1.0, home=Home.ITEMS)
    graph.insert(ReduceOp(label, "Attention", [x], maxima, ReduceFunction.MAX))
    return x, maxima
