"""Sets of memory words as half-open intervals: int64 arrays [n, 2], sorted and disjoint when merged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Intervals", "expand", "merge", "runs", "single"]

Intervals = NDArray[np.int64]


def single(start: int, length: int) -> Intervals:
    """One interval, or none when `length` is 0."""
    return np.array([[start, start + length]] if length > 0 else [], dtype=np.int64).reshape(-1, 2)


def merge(intervals: Intervals) -> tuple[Intervals, bool]:
    """Sort and join; returns the disjoint intervals and whether any word was covered twice."""
    if len(intervals) < 2:
        return intervals, False
    starts, ends = intervals[:, 0], intervals[:, 1]
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    elif (starts[1:] > ends[:-1]).all():
        return intervals, False
    reach = np.maximum.accumulate(ends)
    twice = bool((starts[1:] < reach[:-1]).any())
    first = np.concatenate(([True], starts[1:] > reach[:-1]))
    last = np.concatenate((first[1:], [True]))
    return np.stack([starts[first], reach[last]], axis=1), twice


def runs(values: NDArray[np.int64]) -> Intervals:
    """Sorted distinct integers as maximal runs of neighbours."""
    if values.size == 0:
        return single(0, 0)
    first = np.concatenate(([True], np.diff(values) > 1))
    last = np.concatenate((first[1:], [True]))
    return np.stack([values[first], values[last] + 1], axis=1)


def expand(intervals: Intervals) -> NDArray[np.int64]:
    """Every word of merged intervals, ascending, int64 [words]."""
    lengths = intervals[:, 1] - intervals[:, 0]
    offsets = np.cumsum(lengths) - lengths
    return np.repeat(intervals[:, 0] - offsets, lengths) + np.arange(int(lengths.sum()))
