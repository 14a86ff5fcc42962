"""Operations that only move values: what a model asks for (MoveOp) and what the machine does (SelectOp, CopyOp).

`legalize/moves` turns every MoveOp into views, selections of channels, copies of words, or a 0/1 matrix. Not
here: View and ConcatOp (`ir/graph`), which other passes know as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlac.ir.graph import Op

__all__ = ["CopyOp", "MoveOp", "Piece", "Run", "SelectOp"]

I64 = NDArray[np.int64]


@dataclass(eq=False)
class MoveOp(Op):
    """Output element i is element `index[i]` of the inputs, -1 stands for the integer `fill`.

    `index` int64 [elements of the output], into the inputs' values in ONNX order, one input after another.
    """

    index: I64
    fill: int = 0

    @property
    def queue(self) -> str:
        """None: realized before anything is emitted."""
        return ""


@dataclass(eq=False)
class SelectOp(Op):
    """Output channel i is input channel `channels[i]`, -1 is the integer `fill`; pixels stay where they are.

    No instruction where `legalize/place` can read the input's bytes under other channel numbers, else it
    becomes a convolution with a 0/1 matrix there.
    """

    channels: I64
    fill: int = 0

    @property
    def queue(self) -> str:
        """None: a selection that is left reads the bytes of its input."""
        return ""

    def rearranged(self, parts: list[NDArray[np.int8]]) -> NDArray[np.int8]:
        """The output's values, for comparison with a reference."""
        return self.output.from_hwc(self.inputs[0].to_hwc(parts[0])[:, :, self.channels])


@dataclass(frozen=True)
class Run:
    """`count` positions of one axis: out0, out0 + out_step, ... read from in0, in0 + in_step, ..."""

    out0: int
    out_step: int
    in0: int
    in_step: int
    count: int


@dataclass(frozen=True)
class Piece:
    """A grid of words: part `part` of the channels of input `source` to part `target` of the output's."""

    source: int
    part: int
    target: int
    rows: Run
    pixels: Run


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
