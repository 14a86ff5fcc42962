"""Error bars for success rates: Wilson's interval, and McNemar's exact test for paired episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_training.errors import EvaluationError

__all__ = ["Paired", "change_interval", "mcnemar", "wilson_interval"]

_RESAMPLED = 2000  # times, for an interval
_Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution


def wilson_interval(successes: int, trials: int, z: float = _Z95) -> tuple[float, float]:
    """Score interval of a proportion (95 % by default). Source: E. B. Wilson, JASA 22 (1927), 209-212.

    Raises:
        EvaluationError: no trials, or successes outside 0..trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise EvaluationError(f"{successes} successes of {trials} episodes is not a proportion.")
    rate = successes / trials
    denominator = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Paired:
    """Two policies on the same episodes: how often only one of them succeeded, and how surprising that is."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Exact two-sided McNemar test of paired successes. Source: Q. McNemar, Psychometrika 12 (1947), 153-157.

    Raises:
        EvaluationError: the two have different lengths.
    """
    if len(first) != len(second):
        raise EvaluationError(f"Cannot pair {len(first)} episodes with {len(second)}; use the same seeds.")
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    flips = only_first + only_second
    tail = sum(math.comb(flips, k) for k in range(min(only_first, only_second) + 1)) / 2**flips
    return Paired(only_first, only_second, min(1.0, 2 * tail))


def change_interval(
    first: npt.ArrayLike, second: npt.ArrayLike, groups: npt.ArrayLike, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the relative change of a mean error, by the bootstrap over groups of paired errors.

    Frames of one drive are alike, so whole groups are drawn (Davison and Hinkley, Bootstrap Methods and their
    Application, 1997, 3.8; percentiles).

    Args:
        first: errors (N,) that are not all 0.
        second: errors (N,) of the other on the same frames.
        groups: (N,) of each, two or more different ones.
        seed: of the draws.

    Raises:
        EvaluationError: there is one group: drawn again and again it says nothing of others.
    """
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    if number.max() == 0:
        raise EvaluationError("An interval over groups needs two or more; there is 1.")
    one, other = (np.bincount(number, np.asarray(errors, np.float64)) for errors in (first, second))
    drawn = np.random.default_rng(seed).integers(0, len(one), (_RESAMPLED, len(one)))
    sums = one[drawn].sum(axis=1)
    changes = other[drawn].sum(axis=1)[sums > 0] / sums[sums > 0] - 1
    low, high = np.quantile(changes, (0.025, 0.975))
    return float(low), float(high)
