"""What a packet touches: words of one space, read or written.

Spaces and their words: "data" (64-byte lines), "weight_hbm" and "weight" (weight words), "act", "param".
Not here: what each instruction touches (`instructions/`), and asking a packet (`footprint.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.intervals import Intervals

__all__ = ["SPACES", "Access", "Params"]

SPACES = ("data", "weight_hbm", "act", "weight", "param")
Params = NDArray[np.uint8]  # contents of the parameter memory, [param_words, 8 * B]


@dataclass(frozen=True)
class Access:
    """The words of one space that a packet reads, or writes.

    Attributes:
        space: a name of `SPACES`.
        write: written, else read.
        words: merged intervals, int64 [n, 2].
        role: the operand, for messages ("in", "out", "records", ...).
        repeated: some word is covered more than once; for a write, the last value would depend on order.
    """

    space: str
    write: bool
    words: Intervals
    role: str
    repeated: bool
