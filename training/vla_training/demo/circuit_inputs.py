"""What the circuits of two drivers are measured with: tiles and shares of the gates, frames, what torch says.

Not here: the measurement (`circuits.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.driving.names import BRANCHES, COMMAND, CONTROL
from vla_models.driving_tiles.gates import live_share
from vla_training.demo.circuits import CircuitInputs
from vla_training.evaluate.runners import module_compute

__all__ = ["circuit_inputs"]


def circuit_inputs(
    dense: Any, gated: Any, frame: Mapping[str, npt.NDArray[Any]]
) -> tuple[CircuitInputs, dict[str, CircuitInputs]]:
    """Of the dense policy, and by command of the gated one.

    Args:
        dense, gated: policies `driving_tiles` of the same convolutions.
        frame: inputs of batch 1; the command is replaced.
    """
    table = gated.gates.table()
    shares = live_share(table, gated.trunk.macs).tolist()
    frames = [dict(frame) | {COMMAND: np.eye(len(BRANCHES), dtype=np.float32)[[n]]} for n in range(len(BRANCHES))]
    whole, gates = module_compute(dense), module_compute(gated)
    every = tuple((1,) * len(row[0]) for row in table)
    circuits = {
        name: CircuitInputs(
            tuple(tuple(int(t) for t in row[number]) for row in table),
            shares[number],
            frames[number],
            gates(frames[number])[CONTROL],
        )
        for number, name in enumerate(BRANCHES)
    }
    return CircuitInputs(every, 1.0, frames[0], whole(frames[0])[CONTROL]), circuits
