"""The memories of a machine as plain arrays, for the executable meaning of the instructions.

Not here: what an instruction does with them (`instructions/`), and the fast machine of the runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig

__all__ = ["Memories"]


@dataclass
class Memories:
    """All memories of a machine while it runs, the on-chip ones zero at power-up.

    Attributes:
        hw: the hardware config.
        data: the data space, int8 [bytes].
        weight_space: the weight space, int8 [words, B*B], never written.
        act: activation scratchpad, int8 [act_words, B].
        weight: weight scratchpad, int8 [weight_words, B*B].
        param: parameter memory, uint8 [param_words, 8*B].
    """

    hw: HardwareConfig
    data: NDArray[np.int8]
    weight_space: NDArray[np.int8]
    act: NDArray[np.int8] = field(init=False)
    weight: NDArray[np.int8] = field(init=False)
    param: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        """Make the on-chip memories."""
        hw = self.hw
        self.act = np.zeros((hw.act_words, hw.act_word_bytes), np.int8)
        self.weight = np.zeros((hw.weight_words, hw.weight_word_bytes), np.int8)
        self.param = np.zeros((hw.param_words, hw.param_word_bytes), np.uint8)
