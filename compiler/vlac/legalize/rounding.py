"""Let every instruction round as the model says, where that is exact: all multipliers must be powers of two.

To nearest even, the machine's 24-bit multipliers are as good as any; floor and half up jump at whole and half results,
which are common, so a multiplier that is rounded itself would be a step off there. Tables are rounded when they are
made (`lowering`); copies and maxima in their own scale are exact in any way.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.generated.codes import Rounding
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.model.labels import node_label
from vlac.options import ROUNDING_NAMES
from vlac.quantize.rounding import rounding_of

__all__ = ["apply_rounding"]

_ON_HOST = ("Softmax", "LogSoftmax", "ArgMax", "ArgMin")


def apply_rounding(graph: Graph, model: ir.Model) -> None:
    """Set the rounding of every operation of a graph that was lowered from `model`.

    Raises:
        UnsupportedError: all operations that cannot round so exactly, with the reason.
    """
    rounding = rounding_of(model)
    if rounding == Rounding.NEAREST_EVEN:
        return
    reasons: dict[str, str] = {}
    for node in model.graph:
        source = node.inputs[0].producer() if node.op_type == "QuantizeLinear" and node.inputs[0] is not None else None
        if source is not None and source.op_type in _ON_HOST:
            reasons[node_label(node)] = f"QuantizeLinear '{node_label(node)}': the host computes it, to nearest even"
    for op in graph.ops:
        if not _powers(op.multipliers()):
            reasons[op.node] = (
                f"{op.op_type} '{op.node}': its scales are no powers of two of each other (or of the number of values "
                f"averaged), which rounding by {ROUNDING_NAMES[rounding]} needs; only nearest-even takes any scales"
            )
        op.round_by(rounding)
    if reasons:
        raise UnsupportedError(reasons.values(), nodes=reasons)


def _powers(multipliers: NDArray[np.int64]) -> bool:
    """Whether all of them are powers of two; 0 stands for a scale that is too small to matter, rounded as well."""
    return bool(((multipliers > 0) & (multipliers & (multipliers - 1) == 0)).all())
