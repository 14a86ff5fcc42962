"""How large a number can be that the host computes of the model's inputs, where its functions say so.

Angles are cosines and sines, perhaps times a factor, or rows of a table. Not here: ranges of what calibration observes.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.lowering.host_graph import MOVES
from vlac.model.reading import constant

__all__ = ["bound_of"]

_OF_ONE = ("Cos", "Sin", "Tanh", "Sigmoid", "Sign")
_KEEPS = (*MOVES, "Cast", "Expand", "Neg", "Abs", "Dropout")


def bound_of(value: ir.Value | None) -> float | None:
    """The largest magnitude of a value; None where nothing is known."""
    array = constant(value)
    if array is not None:
        return float(np.abs(array.astype(np.float64)).max(initial=0))
    node = None if value is None else value.producer()
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in _OF_ONE:
        return 1.0
    read = node.inputs if node.op_type in ("Concat", "Mul") else node.inputs[:1]
    bounds = [bound_of(v) for v in read]
    known = [b for b in bounds if b is not None]
    if not known or len(known) < len(bounds) or node.op_type not in (*_KEEPS, "Mul"):
        return None
    return float(np.prod(known)) if node.op_type == "Mul" else max(known)
