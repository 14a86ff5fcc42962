"""The parameter image of an operation: its records, residual records, tables and masks in parameter words.

Not here: their order and places (`plan/loads`), their contents (`device/params`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.hardware import HardwareConfig
from vlac.errors import UnsupportedError
from vlac.ir.cut import Cut
from vlac.ir.operation import Op

__all__ = ["pack_params"]


def pack_params(op: Op, cut: Cut, hw: HardwareConfig) -> NDArray[np.uint8]:
    """The parameter words of an operation, uint8 [n, 8 * B].

    Raises:
        UnsupportedError: a value of the model that does not fit its field.
    """
    words = np.zeros((cut.params.size, hw.param_word_bytes), np.uint8)
    at = 0
    for p in op.parameters(cut, hw):
        try:
            data = p.data().reshape(-1)
        except EncodingError as e:
            raise UnsupportedError([f"{op.op_type} '{op.node}': {e}"]) from e
        words[at : at + p.words].reshape(-1)[: data.size] = data
        at += p.words
    return words
