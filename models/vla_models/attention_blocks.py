"""Who sees whom in a joint attention over tokens of several types, as a policy's config says it.

Not here: a picture of it (`vla_training.mask_picture`), the attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

__all__ = ["Block", "allowed", "spans"]


@dataclass(frozen=True)
class Block:
    """Tokens of one type, one behind another.

    Attributes:
        name: of the type.
        count: of its tokens.
        sees: the other blocks whose tokens each of them sees, by name.
        causal: whether each of them sees in its own block those up to itself alone; else it sees all.
    """

    name: str
    count: int
    sees: tuple[str, ...] = ()
    causal: bool = False


def spans(blocks: Sequence[Block]) -> dict[str, slice]:
    """Where each block's tokens are among all of them."""
    ends = list(accumulate(block.count for block in blocks))
    return {block.name: slice(end - block.count, end) for block, end in zip(blocks, ends, strict=True)}


def allowed(blocks: Sequence[Block]) -> npt.NDArray[np.bool_]:
    """Whether the token of a row sees that of a column: (tokens, tokens)."""
    at = spans(blocks)
    mask = np.zeros((sum(block.count for block in blocks),) * 2, np.bool_)
    for block in blocks:
        for name in block.sees:
            mask[at[block.name], at[name]] = True
        mask[at[block.name], at[block.name]] = ~np.triu(np.ones((block.count,) * 2, np.bool_), 1) | (not block.causal)
    return mask
