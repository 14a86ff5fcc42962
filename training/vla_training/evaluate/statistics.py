"""Error bars for success rates: Wilson's interval, and McNemar's exact test for paired episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla_training.errors import EvaluationError

__all__ = ["Paired", "mcnemar", "wilson_interval"]

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
