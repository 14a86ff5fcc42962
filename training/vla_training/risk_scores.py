"""How good what is said of risk is: recall at a rate of false alarms, calibration, accuracies and confusions.

Of E2 of SIM v0, whose choice by recall alone was won by saying "high" always; numpy alone. Not here: who says it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Confusion", "alarm_threshold", "alarms", "confusion", "expected_calibration_error"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BINS = 10


def alarms(chance: Floats, wanted: Bools, threshold: float) -> tuple[float, float]:
    """Recall and rate of false alarms where an alarm is a chance from `threshold` on; NaN of none."""
    said = chance >= threshold
    return tuple(float(said[each].mean()) if each.any() else float("nan") for each in (wanted, ~wanted))  # type: ignore[return-value]


def alarm_threshold(chance: Floats, wanted: Bools, false_alarms: float) -> float:
    """The least threshold with at most such a rate of false alarms; above every chance where none has.

    Args:
        chance: (N,), of what is to be told.
        wanted: (N,), where it is so.
        false_alarms: from 0 to 1, of where it is not.
    """
    others = np.sort(chance[~wanted])[::-1]
    allowed = int(np.floor(false_alarms * len(others)))
    if allowed >= len(others):
        return float(chance.min(initial=0.0))
    above = chance[chance > others[allowed]]  # the first one that is one too many, and its equals, stay silent
    return float(above.min()) if len(above) else float(np.nextafter(chance.max(), np.inf))


def expected_calibration_error(confidence: Floats, right: Bools) -> float:
    """The mean distance of confidence from the share that is right, over ten bins of equal width (Guo et al. 2017)."""
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = [abs(float(confidence[bins == b].sum() - right[bins == b].sum())) for b in range(_BINS)]
    return sum(gaps) / len(confidence)


@dataclass(frozen=True)
class Confusion:
    """How often what is right (rows) was called what (columns)."""

    counts: Ints

    @property
    def accuracy(self) -> float:
        """Share that is called what it is."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def f1_macro(self) -> float:
        """The mean F1 of the words that are right, or said, at all."""
        hits, there, called = np.diag(self.counts), self.counts.sum(axis=1), self.counts.sum(axis=0)
        used = there + called > 0
        return float((2 * hits[used] / (there + called)[used]).mean())


def confusion(wanted: Ints, said: Ints, words: int) -> Confusion:
    """Of indices (N,) of so many words."""
    counts = np.zeros((words, words), np.int64)
    np.add.at(counts, (wanted, said), 1)
    return Confusion(counts)
