"""How the exponents of an attention's softmax are made, as the quantizer wrote it to the node.

Not here: which form is worth it (`quantize/exponents.py`), what the machine does for it (`lowering/softmax.py`).
"""

from __future__ import annotations

from enum import Enum

import onnx_ir as ir

__all__ = ["ExponentForm", "exponent_form", "set_exponent_form"]

_KEY = "vlac.exponents"
_MANY = 256  # keys from which on dithered exponents are nearer to float, where nobody measured


class ExponentForm(Enum):
    """The exponents of a row less its maximum.

    ROUNDED   int8, to the nearest
    DITHERED  int8, up or down by the column: sums of many small exponents are kept
    WIDE      int16, as two products: their high and low bytes times the values
    """

    ROUNDED = "rounded"
    DITHERED = "dithered"
    WIDE = "wide"


def exponent_form(node: ir.Node, keys: int) -> ExponentForm:
    """What the quantizer chose for an Attention node of so many keys, or what is usual."""
    found = node.metadata_props.get(_KEY)
    if found is None:
        return ExponentForm.DITHERED if keys >= _MANY else ExponentForm.ROUNDED
    return ExponentForm(found)


def set_exponent_form(node: ir.Node, form: ExponentForm) -> None:
    """Write a choice to a node."""
    node.metadata_props[_KEY] = form.value
