"""A small packet with its operands: what the memories must hold before it runs.

Not here: which packets an instruction makes (`vla_isa.operands`, and the instruction's own file).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.instructions import BY_NAME
from vla_isa.operands import Arena, Rng, fill
from vla_isa.packet import Packet

__all__ = ["Operation", "make_operation"]


@dataclass
class Operation:
    """A packet with its operands.

    Attributes:
        packet: the instruction, semaphores zero.
        arena: the memories' extents and the parameter words.
        act: int8 [arena.act, B]; weight: int8 [arena.weight, B*B].
    """

    packet: Packet
    arena: Arena
    act: NDArray[np.int8]
    weight: NDArray[np.int8]

    @property
    def param(self) -> NDArray[np.uint8]:
        """uint8 [words, 8*B]."""
        empty = np.zeros((0, self.arena.hw.param_word_bytes), np.uint8)
        return np.concatenate([empty, *self.arena.params])


def make_operation(
    name: str, rng: Rng, arena: Arena, *, act: str = "random", weight: str = "random", **choices: Any
) -> Operation:
    """A small operation of an instruction that has operands.

    Args:
        name: the instruction.
        rng: draws everything that is not chosen.
        arena: where its operands go, behind those of earlier operations.
        act, weight: contents of the memories, see `fill`.
        choices: fields, and what the instruction's own operands name.
    """
    operands = BY_NAME[name].operands
    assert operands is not None, name
    packet = BY_NAME[name].packet(**operands.draw(rng, arena, **choices))
    hw = arena.hw
    words = fill(rng, (arena.act, hw.act_word_bytes), act)
    for base, data in arena.contents:
        words[base : base + len(data)] = data
    return Operation(
        packet,
        arena,
        words,
        fill(rng, (arena.weight, hw.weight_word_bytes), weight),
    )
