"""Ranges that need no observation: what functions of an 8-bit or truth value input can be at most.

Where all functions on the way are monotone in every element, the ends of the dtype give the ends of the range. So the
pixel of uint8 -> Cast -> / 255 is itself the integer that the device takes, and no white is clipped that the
calibration images lacked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.host_functions import MOVERS
from vla_isa.signature import HostOp, HostRun, Signature
from vlac.analysis.host_nodes import prefix_nodes
from vlac.lowering.host_graph import HostGraph
from vlac.model.reading import constant, is_constant

__all__ = ["known_ranges"]

_DTYPES = ("uint8", "int8", "bool")
_MONOTONE = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Cast", "Relu", "Tanh", "Sigmoid", "Exp", "Log", "Sqrt", "Neg")


def known_ranges(model: ir.Model) -> dict[str, tuple[float, float]]:
    """(lowest, highest) by name of values that the host computes in front of the device of a float model."""
    host, prefix = HostGraph(model), prefix_nodes(model)

    def read(value: ir.Value) -> int:
        array = constant(value) if is_constant(value) else None
        return host.numbers[value] if array is None else host.constant(array)

    for node in model.graph:
        if node in prefix:
            host.convert(node, read)
    signature = Signature(host.inputs, host.ops, [], [], host.arrays)
    ends = [{v.name: _end(v.shape, v.dtype, top) for v in host.inputs if v.dtype in _DTYPES} for top in (False, True)]
    runs = [HostRun(signature, inputs) for inputs in ends]
    found = {}
    for node in model.graph:
        for value in node.outputs if node in prefix else ():
            number = host.numbers[value]
            if _is_known(signature, number, ends[0]) and host.dtype(number) == "float32":
                both = np.stack([run.value(number) for run in runs])
                if np.isfinite(both).all():
                    found[value.name or ""] = float(both.min()), float(both.max())
    return found


def _end(shape: tuple[int, ...], dtype: str, top: bool) -> NDArray[np.generic]:
    info = None if dtype == "bool" else np.iinfo(dtype)
    return np.full(shape, (info.max if top else info.min) if info is not None else top, dtype)


def _is_known(signature: Signature, number: int, inputs: Mapping[str, object]) -> bool:
    """Whether a value is made of 8-bit inputs by moves and monotone functions of one operand and constants."""
    for n in signature.needed([number]):
        value = signature.value(n)
        if not isinstance(value, HostOp):
            if value.name not in inputs:
                return False
        elif value.function not in ("Constant", "Concat"):
            operands = [signature.value(k) for k in value.operands]
            computed = [v for v in operands if not isinstance(v, HostOp) or v.function != "Constant"]
            if len(computed) != 1 or value.function not in (*_MONOTONE, *MOVERS):
                return False
            if value.function == "Div" and computed[0] is not operands[0]:
                return False  # c / x has two branches
    return True
