"""How far a program is from the user's float model: decibels by output, and by part of an output.

A part is a run of channels whose values have another size than their neighbours' (boxes beside scores in one tensor):
one scale for all of them can lose the smaller ones while the whole looks right. Parts are found in the float
values: where splitting the channels in two, each with its own variance, explains them much better (binary
segmentation by likelihood).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOW_SNR", "OutputLoss", "Part", "output_loss", "parts_of"]

LOW_SNR = 20.0  # dB; less is worth a warning
_LOW_EQUAL = 0.9  # of integers, such as those of an ArgMax
_UNDER_THE_WHOLE = 10.0  # dB by which a part is worse before it is named,
_GOOD = 40.0  # unless it is as good as 8 bits get
_TINY = 1e-4  # of the output's largest magnitude: parts that never reach it are 0 to whoever reads them
_NAMED = 4  # parts of one output, the worst first
_EVIDENCE = 10.0  # of a split: log likelihood gained, in units of the logarithm of the number of values

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """Indices first..last of one axis, and their signal-to-noise ratio in dB."""

    axis: int
    first: int
    last: int
    snr: float


@dataclass(frozen=True)
class OutputLoss:
    """One output over all samples: its SNR in dB where it is real, else the share of equal values; its bad parts."""

    name: str
    snr: float | None
    equal: float
    parts: tuple[Part, ...] = ()

    def __str__(self) -> str:
        """For a person: `y 38.2 dB` or `y 97.3 % equal`."""
        return f"{self.name} {_decibels(self.snr)}" if self.snr is not None else f"{self.name} {self._share}"

    @property
    def _share(self) -> str:
        return f"{100 * self.equal:.1f} % equal"

    @property
    def warnings(self) -> list[str]:
        """What a user should know of it, one line each."""
        if self.snr is None:
            return [f"output '{self.name}': {self._share}"] if self.equal < _LOW_EQUAL else []
        found = [f"output '{self.name}': {_decibels(self.snr)}"] if self.snr < LOW_SNR else []
        for part in self.parts:
            what = "channels" if part.axis == 1 else f"axis {part.axis},"
            rest = f"{_decibels(part.snr)} (whole {_decibels(self.snr)})"
            found.append(f"output '{self.name}', {what} {part.first}..{part.last}: {rest}")
        return found


def _decibels(snr: float) -> str:
    return f"{snr:.1f} dB" if math.isfinite(snr) else "exact" if snr > 0 else "no signal, only noise"


def output_loss(name: str, wanted: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]) -> OutputLoss:
    """What is lost between the float model's values of an output and the program's, one array per sample."""
    a, b = (np.stack([np.asarray(v, np.float64) for v in values]) for values in (wanted, found))
    equal = float((a == b).mean()) if a.size else 1.0
    if wanted[0].dtype.kind != "f":
        return OutputLoss(name, None, equal)
    finite = np.isfinite(a)
    a, noise = np.where(finite, a, 0.0), np.where(finite, b - a, 0.0)
    whole = _snr((a**2).sum(), (noise**2).sum())
    axes = range(2, a.ndim) if a.ndim < 5 else (2,)  # the channels of an image; of a list its rows too
    parts = [p for axis in axes if a.shape[axis] > 1 for p in _bad_parts(a, noise, axis, whole)]
    return OutputLoss(name, whole, equal, tuple(sorted(parts, key=lambda p: p.snr)[:_NAMED]))


def _snr(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return -math.inf if signal == 0 else float(10 * np.log10(signal / noise))


def _bad_parts(values: F64, noise: F64, axis: int, whole: float) -> list[Part]:
    """Parts along an axis of [samples, *shape] that are worse than the whole, neighbours as one."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    signals, noises = (values**2).sum(axis=others), (noise**2).sum(axis=others)
    peaks = np.abs(values).max(axis=others)

    def snr(first: int, last: int) -> float:
        return _snr(signals[first : last + 1].sum(), noises[first : last + 1].sum())

    bad: list[tuple[int, int]] = []
    for first, last in parts_of(signals, values.size // len(signals)):
        tiny = peaks[first : last + 1].max() < _TINY * peaks.max()
        silent = tiny and noises[first : last + 1].mean() < noises.mean()
        if not silent and snr(first, last) < min(whole - _UNDER_THE_WHOLE, _GOOD):
            joins = bool(bad) and bad[-1][1] == first - 1
            bad.append((bad.pop()[0] if joins else first, last))
    return [Part(axis - 1, first, last, snr(first, last)) for first, last in bad]


def parts_of(powers: F64, count: int) -> list[tuple[int, int]]:
    """First and last index of each part of an axis.

    Args:
        powers: for each index the sum of squares of its values.
        count: values per index.
    """
    powers = np.maximum(powers, powers.max(initial=0.0) * 1e-12)
    total = np.concatenate([[0.0], np.cumsum(powers)])
    needed = _EVIDENCE * np.log(max(len(powers) * count, 2))
    waiting, found = [(0, len(powers))], []
    while waiting:
        first, end = waiting.pop()
        at = np.arange(first + 1, end)
        if total[-1] > 0 and at.size:
            left, right = (at - first) * count, (end - at) * count
            cost = left * np.log((total[at] - total[first]) / left) + right * np.log((total[end] - total[at]) / right)
            whole = (end - first) * count
            gain = (whole * np.log((total[end] - total[first]) / whole) - cost) / 2
            best = int(np.argmax(gain))
            if gain[best] > needed:
                waiting += [(int(at[best]), end), (first, int(at[best]))]
                continue
        found.append((first, end - 1))
    return found
