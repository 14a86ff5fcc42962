"""Exact dataset statistics in one pass: 256-bin histograms for images, sorted values for small scalars."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ImageStatistics", "scalar_statistics"]

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


def scalar_statistics(values: npt.NDArray[Any]) -> dict[str, list[float] | list[int]]:
    """Statistics of one value per frame."""
    numbers = values.astype(np.float64)
    result: dict[str, list[float] | list[int]] = {
        "min": [float(numbers.min())],
        "max": [float(numbers.max())],
        "mean": [float(numbers.mean())],
        "std": [float(numbers.std())],
        "count": [int(numbers.size)],
    }
    for name, level in _QUANTILES.items():
        result[name] = [float(np.quantile(numbers, level))]
    return result
