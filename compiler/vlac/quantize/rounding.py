"""How the machine rounds results of a quantized model: to nearest even, as ONNX says, or as the user's hardware did.

It is written into the model's metadata, where every later pass finds it. Model inputs are quantized by the host, to
nearest even always. Not here: whether every instruction can do it exactly (`legalize/rounding.py`).
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from vlac.errors import ModelError
from vlac.options import ROUNDING_NAMES

__all__ = ["mark_rounding", "rounding_of", "set_rounding"]

_KEY = "vlac.rounding"


def rounding_of(model: ir.Model) -> int:
    """The code of `numerics.round_shift`."""
    return ROUNDING_NAMES.index(model.metadata_props.get(_KEY, ROUNDING_NAMES[0]))


def mark_rounding(proto: onnx.ModelProto, name: str) -> None:
    """Write into a model how it says itself that it rounds."""
    proto.metadata_props.add(key=_KEY, value=name)


def set_rounding(model: ir.Model, name: str | None, *, quantized: bool) -> None:
    """Write into a model how the user says that it rounds; None leaves it as it is.

    Raises:
        ModelError: a float model, or one that says otherwise itself.
    """
    if name is None:
        return
    if not quantized:
        raise ModelError(f"--rounding {name} is for quantized models; the compiler chooses the scales of a float model")
    said = model.metadata_props.get(_KEY, name)
    if said != name:
        raise ModelError(f"--rounding {name} contradicts the model, whose Quant nodes round by {said}")
    model.metadata_props[_KEY] = name
