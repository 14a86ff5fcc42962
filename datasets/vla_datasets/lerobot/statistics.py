"""Exact dataset statistics in one pass: 256-bin histograms for images, sorted values for everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ImageStatistics", "value_statistics"]

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class ImageStatistics:
    """Per-channel statistics of uint8 images, in [0, 1] with shape (channels, 1, 1) as in LeRobot."""

    def __init__(self, channels: int) -> None:
        self._histogram = np.zeros((channels, 256), np.int64)
        self._images = 0

    def add(self, image: npt.NDArray[np.uint8]) -> None:
        """Count one image (height, width, channels)."""
        for channel in range(image.shape[2]):
            self._histogram[channel] += np.bincount(image[:, :, channel].ravel(), minlength=256)
        self._images += 1

    def to_json(self) -> dict[str, Any]:
        """min, max, mean, std and quantiles per channel; count is the number of images."""
        values = np.arange(256) / 255.0
        columns: dict[str, list[float]] = {key: [] for key in ("min", "max", "mean", "std", *_QUANTILES)}
        for histogram in self._histogram:
            total = int(histogram.sum())
            present = np.flatnonzero(histogram)
            mean = float((histogram * values).sum() / total)
            columns["min"].append(float(values[present[0]]))
            columns["max"].append(float(values[present[-1]]))
            columns["mean"].append(mean)
            columns["std"].append(float(np.sqrt((histogram * (values - mean) ** 2).sum() / total)))
            cumulative = np.cumsum(histogram)
            for name, level in _QUANTILES.items():
                columns[name].append(float(values[np.searchsorted(cumulative, level * total)]))
        shaped: dict[str, Any] = {key: [[[value]] for value in column] for key, column in columns.items()}
        return {**shaped, "count": [self._images]}


def value_statistics(values: npt.NDArray[Any]) -> dict[str, Any]:
    """Statistics over the frames, on axis 0, of each component by itself; lists of the feature's shape, as in LeRobot.

    Args:
        values: (frames, 1) for a number, (frames, components) for a vector, and so on.

    Returns: nested lists of the shape behind axis 0; `count` is the number of frames.
    """
    numbers = values.astype(np.float64)
    found = {"min": numbers.min(0), "max": numbers.max(0), "mean": numbers.mean(0), "std": numbers.std(0)}
    found |= {name: np.quantile(numbers, level, axis=0) for name, level in _QUANTILES.items()}
    return {**{name: array.tolist() for name, array in found.items()}, "count": [len(numbers)]}
