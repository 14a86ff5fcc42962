"""How an operation is cut, and the sizes of what is loaded for it: weight and parameter words.

Not here: who cuts (`plan/`), and the bytes (`emit/`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cut", "ParamLayout", "Parameter", "Role", "Span", "WeightLayout", "Weights"]

Span = tuple[int, int]
Role = str  # of parameters: "records", "residual", "table", "mask"


@dataclass(frozen=True)
class Weights:
    """What a layer multiplies with: int8 [O, I / group, kh, kw]; `maskable` where blocks of zeros may be left out,
    `by_task` where tasks say which blocks are loaded, so that all of them are stored.
    """

    values: NDArray[np.int8]
    group: int = 1
    maskable: bool = False
    by_task: bool = False


@dataclass(frozen=True)
class WeightLayout:
    """Which blocks of weights exist and where: `starts[o]` is the first word of out block o, `starts[-1]` their number.

    `live` bool [out blocks, in blocks] says which blocks exist; `mode` is CONV's mask mode.
    """

    starts: NDArray[np.int64]
    live: NDArray[np.bool_]
    mode: int

    @property
    def total(self) -> int:
        """Words."""
        return int(self.starts[-1])

    def span(self, chunk: Span) -> Span:
        """(first word, words) of a chunk of out blocks."""
        first, end = int(self.starts[chunk[0]]), int(self.starts[chunk[1]])
        return first, end - first


@dataclass(frozen=True)
class Parameter:
    """A piece of an operation's parameters: its role, its words, and its bytes when they are wanted.

    `data` returns uint8, which is padded to whole words.

    Raises (`data`):
        EncodingError: a value that does not fit its field.
    """

    role: Role
    words: int
    data: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class ParamLayout:
    """Where the parameters lie, relative to the operation's first word.

    Attributes:
        size: words.
        records: first record word of each chunk (one entry where there are no chunks).
        table: word of the table, mask: word of out block 0's mask; None where there is none.
    """

    size: int = 0
    records: tuple[int, ...] = ()
    table: int | None = None
    mask: int | None = None

    def table_base(self, values: dict[str, int]) -> dict[str, int]:
        """The relocation of a packet's table, which `values` then enable; none where there is no table."""
        if self.table is None:
            return {}
        values["table_enable"] = 1
        return {"table_base": self.table}


@dataclass
class Cut:
    """Bands of output rows, chunks of output blocks, and the layout of what is loaded.

    `spans` are pixels [a, b) of the one row of an operation that takes some at a time, a packet each; none of others.
    """

    bands: list[Span]
    chunks: list[Span] = field(default_factory=lambda: [(0, 0)])
    weights: WeightLayout | None = None
    params: ParamLayout = ParamLayout()
    spans: list[Span] = field(default_factory=list)
