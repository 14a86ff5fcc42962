"""Gates of sigmoids that are too small for the machine's int16: scores of some 1/32767, of logits far below 0.

Gates are shares of the chosen experts' scores, whatever these add up to, or the scores themselves. Scores near half a
step are rounded to another share, or all to 0: a mixture that adds nothing. So gates are computed with and without the
rounding, on calibration data: where one is far off, no program is made.

Not here: how gates are computed (`lowering/gates.py`).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.integer import INT16
from vlac.errors import CalibrationError
from vlac.model.gates import Gates, gates_of
from vlac.model.labels import node_label
from vlac.model.reading import constant
from vlac.quantize.calibration import Samples
from vlac.quantize.float_session import FloatSession

__all__ = ["check_scores"]

_SAMPLES = 16
_MOST = 0.1  # of the largest gate, that one may be off
F64 = NDArray[np.float64]


def check_scores(model: ir.Model, samples: Samples, exclude: Collection[str] = ()) -> None:
    """Refuse scores of a float model that rounding changes.

    Args:
        model: as the rewrites leave it.
        exclude: names of nodes that the host runs.

    Raises:
        CalibrationError: names every such node, how small its scores are, and what to do.
    """
    ends = [n for n in model.graph if n.op_type == "ScatterElements" and n.name not in exclude]
    found = {n: gates for n in ends if (gates := gates_of(n)) is not None and gates.scores}
    if not found:
        return
    names = list(dict.fromkeys(g.logits.name or "" for g in found.values() if not g.logits.is_graph_input()))
    session = FloatSession(model, names) if names else None
    scores: dict[ir.Node, list[F64]] = {n: [] for n in found}
    for sample in samples[:_SAMPLES]:
        known = dict(sample) | dict(zip(names, session.run(sample) if session else [], strict=True))
        for node, gates in found.items():
            scores[node].append(_chosen(np.asarray(known[gates.logits.name or ""], np.float64), gates))
    faults = []
    for node, gates in found.items():
        exact = np.concatenate(scores[node])
        off = _off(exact, gates)
        if off > _MOST:
            faults.append(
                f"{node.op_type} '{node_label(node)}': the scores of its {gates.k} chosen experts add up to "
                f"{exact.sum(axis=1).min():.1e} on the calibration data, the machine's smallest is {1 / INT16.hi:.1e}; "
                f"gates would be off by up to {100 * off:.0f} % of the largest"
            )
    if faults:
        raise CalibrationError(
            "; ".join(faults) + ". Add a number to the router's logits (its bias) and train on, or choose by a Softmax"
        )


def _chosen(logits: F64, gates: Gates) -> F64:
    """The scores [tokens, k] of the chosen, of logits [..., experts]."""
    scores: F64 = 1 / (1 + np.exp(-np.clip(logits.reshape(-1, logits.shape[-1]), -700, 700)))
    bias = constant(gates.bias)
    compared = logits.reshape(scores.shape) if bias is None else scores + bias.reshape(-1)
    return np.take_along_axis(scores, np.argsort(-compared, axis=1, kind="stable")[:, : gates.k], axis=1)


def _off(scores: F64, gates: Gates) -> float:
    """The largest difference of a gate, beside the largest gate."""
    steps = np.rint(scores * INT16.hi)
    if not gates.among:
        return float(np.abs(steps / INT16.hi - scores).max() / scores.max())
    shares = scores / scores.sum(axis=1, keepdims=True)
    rounded = steps / np.maximum(steps.sum(axis=1, keepdims=True), 1)
    return float((np.abs(rounded - shares).max(axis=1) / shares.max(axis=1)).max())
