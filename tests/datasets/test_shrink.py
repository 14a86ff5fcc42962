"""Smaller images are exact means, rounded half up; the same for one image and for many."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from vla_datasets.errors import DatasetError
from vla_datasets.shrink import shrink


@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_pixels_are_means(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    images[0, :2, :2, 0] = [[0, 1], [1, 0]]  # a half
    found, k = shrink(images, side), 8 // side
    for index in np.ndindex(found.shape):
        n, y, x, c = index
        block = images[n, y * k : y * k + k, x * k : x * k + k, c]
        assert found[index] == int(Fraction(int(block.sum()), k * k) + Fraction(1, 2))
    assert found.dtype == np.uint8 and np.array_equal(shrink(images[1], side), found[1])


def test_sizes_that_do_not_divide_are_refused() -> None:
    for shape, side in (((8, 8, 3), 3), ((8, 6, 3), 2), ((8, 8, 3), 0)):
        with pytest.raises(DatasetError, match=f"cannot be averaged to {side} x {side}"):
            shrink(np.zeros(shape, np.uint8), side)
