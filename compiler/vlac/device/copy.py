"""COPY inside activation memory: grids of words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlac.ir.operation import Op
from vlac.ir.records import Piece, Run

__all__ = ["CopyOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class CopyOp(Op):
    """Words moved piece by piece, after filling the output with `fill` where it is not None.

    Attributes:
        in_parts: channels of each part of each input, in order; every part starts on a channel block. None:
            one part, all channels as they lie.
        out_parts: the output's channels by part, each on a new channel block.
        in_starts, out_starts, out_blocks: first block of each part and its blocks; set by `legalize/place`.
    """

    in_parts: list[list[I64] | None]
    out_parts: list[I64]
    pieces: list[Piece]
    fill: int | None
    in_starts: list[list[int]] = field(default_factory=list)
    out_starts: list[int] = field(default_factory=list)
    out_blocks: list[int] = field(default_factory=list)

    @property
    def queue(self) -> str:
        """Moves into activation memory belong to LOAD."""
        return "load"

    def input_rows(self, y0: int, y1: int, index: int = 0) -> tuple[int, int]:
        """From the first row that output row y0 or a later one needs, to the last that one before y1 needs."""
        first, end = self.inputs[index].h, 0
        for p in self.pieces:
            if p.source == index:
                r = p.rows
                done, seen = _before(r, y0), _before(r, y1)
                for i in (done, r.count - 1):
                    first = min(first, r.in0 + i * r.in_step) if done < r.count else first
                for i in (0, seen - 1):
                    end = max(end, r.in0 + i * r.in_step + 1) if seen else end
        return min(first, end), end


def _before(run: Run, y: int) -> int:
    """How many positions of a run lie before output position y."""
    return min(max(-(-(y - run.out0) // run.out_step), 0), run.count)
