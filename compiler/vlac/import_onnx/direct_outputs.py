"""Outputs that need no computing: constants, and inputs that are passed through.

They are taken out of the model, so that its other outputs are all there is to quantize and to compile, and come back
in the program's signature, exact and under their own names.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

__all__ = ["DirectOutputs", "detach_outputs", "direct_outputs"]

DirectOutputs: TypeAlias = dict[str, NDArray[Any] | str]  # output name -> constant, or name of the input that it is
_KEY = "direct outputs"


def direct_outputs(model: ir.Model) -> DirectOutputs:
    """What `detach_outputs` took out of a model."""
    found: DirectOutputs = model.meta.get(_KEY, {})
    return found


def detach_outputs(model: ir.Model) -> None:
    """Take such outputs out of a model, in place; a model of nothing else has no outputs then."""
    found: DirectOutputs = {}
    for value in model.graph.outputs:
        direct = _direct(value)
        if direct is not None:
            found[value.name or ""] = direct
    if not found:
        return
    kept = [v for v in model.graph.outputs if v.name not in found]
    model.graph.outputs.clear()
    model.graph.outputs.extend(kept)
    model.meta[_KEY] = direct_outputs(model) | found


def _direct(value: ir.Value) -> NDArray[Any] | str | None:
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    array = ir.convenience.get_const_tensor(value)
    if array is not None:
        return np.asarray(array.numpy())
    return value.name if value.is_graph_input() else None
