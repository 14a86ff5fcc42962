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

__all__ = ["LARGEST_LOGIT", "LogitBounds", "check_logits"]

LARGEST_LOGIT = INT16.hi * LOGIT  # nat
_SURE = 0.75 * LARGEST_LOGIT  # what a bound must stay below for no look at the data
_SAMPLES = 16
_MOST = 0.01  # that a share of a softmax may be off
F64 = NDArray[np.float64]


class LogitBounds:
    """Watches queries and keys: no logit is larger than their rows' norms allow (Cauchy and Schwarz); see `Watcher`."""

    most = _SAMPLES

    def __init__(self, model: ir.Model) -> None:
        self._nodes = [n for n in model.graph if is_attention(n)]
        self.names = list(dict.fromkeys(v.name or "" for n in self._nodes for v in _factors(n) if constant(v) is None))
        self._norms: dict[str, float] = {}  # of a head's rows, by operand

    def see(self, values: Mapping[str, NDArray[np.generic]]) -> None:
        """Enter the largest norms of one run."""
        for node in self._nodes:
            for value in _factors(node):
                given = constant(value)
                found = _largest_norm(node, values[value.name or ""] if given is None else given)
                key = f"{node_label(node)}:{value.name}"
                self._norms[key] = max(found, self._norms.get(key, 0.0))

    def of(self, node: ir.Node) -> float:
        """How far the logits of an Attention may reach, in nat; infinite where nothing was seen."""
        sizes = [self._norms.get(f"{node_label(node)}:{v.name}", np.inf) for v in _factors(node)]
        return sizes[0] * max(sizes[1:]) * abs(logit_scale(node, _head(node)))


def _factors(node: ir.Node) -> list[ir.Value]:
    """Queries, keys and kept keys of an Attention."""
    return [v for i in (0, 1, 4) if i < len(node.inputs) and (v := node.inputs[i]) is not None]


def _head(node: ir.Node) -> int:
    """Channels of a head."""
    rank, width = len(shape_of(node.inputs[0])), shape_of(node.inputs[0])[-1]
    return int(width if rank == 4 else width // attribute(node, "q_num_heads", 1))


def _largest_norm(node: ir.Node, array: NDArray[np.generic]) -> float:
    rows = array.reshape(-1, _head(node)).astype(np.float32)
    return float(np.sqrt(np.einsum("rc,rc->r", rows, rows).max(initial=0)))


@dataclass
class _Found:
    reach: float = 0.0
    off: float = 0.0


def check_logits(
    model: ir.Model,
    samples: Samples,
    observed: Mapping[str, Range],
    bounds: LogitBounds,
    exclude: Collection[str] = (),
) -> None:
    """Refuse logits of a float model that would stop where it matters.

    Args:
        model: as the rewrites leave it.
        observed: ranges of its values, by name.
        bounds: what was watched on the samples.
        exclude: names of nodes that the host runs.

    Raises:
        CalibrationError: names every such node, how far its logits reach, the limit, and what to do.
    """
    nodes = [n for n in model.graph if is_attention(n) and n.name not in exclude]
    nodes = [n for n in nodes if _bound(n, observed, bounds) > _SURE]
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


def _bound(node: ir.Node, observed: Mapping[str, Range], bounds: LogitBounds) -> float:
    """How far logits may reach for queries and keys that were observed; 0 where a cap holds them."""
    if attribute(node, "softcap", 0.0):
        return 0.0
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    if mask is not None and constant(mask) is None and mask.dtype != ir.DataType.BOOL:
        return np.inf  # numbers that are computed may take a row anywhere
    queries, keys, past = (_size(node, i, observed) for i in (0, 1, 4))
    channels = _head(node)
    return min(channels * queries * max(keys, past) * abs(logit_scale(node, channels)), bounds.of(node))


def _size(node: ir.Node, index: int, observed: Mapping[str, Range]) -> float:
    """The largest magnitude of an operand; 0 where there is none."""
    value = node.inputs[index] if index < len(node.inputs) else None
    given = constant(value)
    if given is not None:
        return float(np.abs(given).max(initial=0))
    if value is None:
        return 0.0
    return max(map(abs, observed.get(value.name or "", (np.inf, np.inf))))
