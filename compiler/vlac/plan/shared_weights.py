"""Operations that multiply with the same words, of which the weight space has one copy.

A model whose steps stand one behind another reads its weights in each of them: their words then are on chip still, or
are loaded again from one place. Not here: parameters, which also hold scales, and weights that tasks mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from vlac.ir.cut import WeightLayout
from vlac.ir.operation import Op

__all__ = ["first_with_equal_weights"]

_FEW = 64  # weights by which operations are told apart before all of them are compared
_Laid = tuple[Op, WeightLayout | None]  # an operation, and which blocks of its weights are stored


def first_with_equal_weights(operations: Sequence[_Laid], owners: Sequence[int]) -> list[int]:
    """Of each operation the number of the first whose weight words are equal.

    Args:
        operations: with the blocks of their weights.
        owners: of each the number of the first that is a band of the same operation.
    """
    alike = defaultdict[object, list[int]](list)
    found: list[int] = []
    for number, (laid, owner) in enumerate(zip(operations, owners, strict=True)):
        weights = laid[0].weights
        if owner != number:
            found.append(found[owner])
        elif weights is None or weights.by_task:
            found.append(number)
        else:
            values = weights.values
            others = alike[values.shape, values.ravel()[:_FEW].tobytes()]
            same = next((other for other in others if _same_words(operations[other], laid)), number)
            if same == number:
                others.append(number)
            found.append(same)
    return found


def _same_words(one: _Laid, other: _Laid) -> bool:
    """Whether weights, where channels lie and which blocks are stored are equal, of all experts."""
    (op, a), (like, b) = one, other
    assert a is not None and b is not None
    return (
        len(op.experts) == len(like.experts)
        and np.array_equal(a.live, b.live)
        and np.array_equal(op.inputs[0].known_map(), like.inputs[0].known_map())
        and np.array_equal(op.output.known_map(), like.output.known_map())
        and all(_same_values(x, y) for x, y in zip(op.experts, like.experts, strict=True))
    )


def _same_values(one: Op, other: Op) -> bool:
    a, b = one.weights, other.weights
    assert a is not None and b is not None
    return a.group == b.group and (a.values is b.values or np.array_equal(a.values, b.values))
