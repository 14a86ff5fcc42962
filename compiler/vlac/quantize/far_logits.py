"""Attention whose logits are further from 0 than the machine's int16 holds: 128 nat, where they would stop.

What stops far below its row's maximum changes nothing; two logits that stop at one value become equal, and their shares
of the softmax with them. So the shares are computed with and without the stop, on calibration data: where one is far
off, no program is made.

Not here: which form the exponents take (`exponents.py`), a cap of the model's own (`lowering/softcap.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT16
from vlac.errors import CalibrationError
from vlac.model.labels import node_label
from vlac.model.mask_structure import LOGIT, NEVER
from vlac.model.reading import attribute, constant, shape_of
from vlac.quantize.calibration import Samples
from vlac.quantize.exponents import attention_heads, computed_operands, is_attention, logit_scale
from vlac.quantize.float_session import FloatSession
from vlac.quantize.insert_qdq import Range

__all__ = ["LARGEST_LOGIT", "check_logits"]

LARGEST_LOGIT = INT16.hi * LOGIT  # nat
_SURE = 0.75 * LARGEST_LOGIT  # what a bound must stay below for no look at the data
_SAMPLES = 16
_MOST = 0.01  # that a share of a softmax may be off
F64 = NDArray[np.float64]


@dataclass
class _Found:
    reach: float = 0.0
    off: float = 0.0


def check_logits(
    model: ir.Model, samples: Samples, observed: Mapping[str, Range], exclude: Collection[str] = ()
) -> None:
    """Refuse logits of a float model that would stop where it matters.

    Args:
        model: as the rewrites leave it.
        observed: ranges of its values, by name.
        exclude: names of nodes that the host runs.

    Raises:
        CalibrationError: names every such node, how far its logits reach, the limit, and what to do.
    """
    nodes = [n for n in model.graph if is_attention(n) and n.name not in exclude and _bound(n, observed) > _SURE]
    if not nodes:
        return
    names = list(dict.fromkeys(v.name or "" for n in nodes for v in computed_operands(n) if not v.is_graph_input()))
    session = FloatSession(model, names) if names else None
    found = {n: _Found() for n in nodes}
    for sample in samples[:_SAMPLES]:
        known = dict(sample) | dict(zip(names, session.run(sample) if session else [], strict=True))
        for node, so_far in found.items():
            for logits, _ in attention_heads(node, known):
                _look(logits, so_far)
    faults = [
        f"Attention '{node_label(n)}': its logits reach {f.reach:.1f} nat on the calibration data, the machine's "
        f"{LARGEST_LOGIT:.1f}; shares of its softmax would be off by up to {100 * f.off:.0f} %"
        for n, f in found.items()
        if f.off > _MOST
    ]
    if faults:
        raise CalibrationError(
            "; ".join(faults) + ". Normalize queries and keys, give the attention a smaller scale, or cap its logits "
            "(softcap, at most 127); then train on, as the shares change"
        )


def _look(logits: F64, found: _Found) -> None:
    """Enter how far logits [queries, keys] reach that are seen, and how far off their shares would be."""
    seen = logits > NEVER / 2
    if not seen.any() or np.abs(logits[seen]).max() <= LARGEST_LOGIT:
        return
    found.reach = max(found.reach, float(np.abs(logits[seen]).max()))
    rows = np.where(seen, logits, -np.inf)[seen.any(axis=1)]
    stopped = np.where(rows > -np.inf, np.clip(rows, -LARGEST_LOGIT, LARGEST_LOGIT), -np.inf)
    found.off = max(found.off, float(np.abs(_shares(rows) - _shares(stopped)).max()))


def _shares(logits: F64) -> F64:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: F64 = e / e.sum(axis=1, keepdims=True)
    return shares


def _bound(node: ir.Node, observed: Mapping[str, Range]) -> float:
    """How far logits may reach for queries and keys of the ranges that were observed; 0 where a cap holds them."""
    if attribute(node, "softcap", 0.0):
        return 0.0
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    if mask is not None and constant(mask) is None and mask.dtype != ir.DataType.BOOL:
        return np.inf  # numbers that are computed may take a row anywhere
    queries, keys, past = (_size(node, i, observed) for i in (0, 1, 4))
    rank, width = len(shape_of(node.inputs[0])), shape_of(node.inputs[0])[-1]
    channels = width if rank == 4 else width // attribute(node, "q_num_heads", 1)
    return channels * queries * max(keys, past) * abs(logit_scale(node, channels))


def _size(node: ir.Node, index: int, observed: Mapping[str, Range]) -> float:
    """The largest magnitude of an operand; 0 where there is none."""
    value = node.inputs[index] if index < len(node.inputs) else None
    given = constant(value)
    if given is not None:
        return float(np.abs(given).max(initial=0))
    if value is None:
        return 0.0
    return max(map(abs, observed.get(value.name or "", (np.inf, np.inf))))
