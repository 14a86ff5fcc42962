"""Scales, zero points and integers, worked out by hand."""

import tracemalloc

import numpy as np
import pytest

from vlac.quantize.parameters import (
    Scale,
    activation_scale,
    least_weight_scale,
    quantize_array,
    quantize_bias,
    quantize_weight,
)

TINY, LARGEST = np.finfo(np.float32).tiny, np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"),
    [
        (0, 127.5, 0.5, -128),
        (-64, 63.5, 0.5, 0),
        (-255, 0, 1, 127),
        (-55, 200, 1, -73),
        (51, 255, 1, -128),  # 0 is exact in every range
        (-255, -51, 1, 127),
        (0, 0, 1, 0),
        (0, 255 * float(TINY), TINY, -128),  # the least normal number
        (0, 200 * float(TINY), 1, 0),
        (-float(LARGEST), float(LARGEST), 2 * float(LARGEST) / 255, 0),  # the width is no float32
    ],
)
def test_scales_of_ranges(low, high, scale, zero):
    found = activation_scale(low, high)
    assert found.scale == pytest.approx(scale, rel=1e-6) and found.zero_point == zero
    assert found.scale.dtype == np.float32


def test_limits_of_a_scale():
    assert Scale(np.float32(0.5), 3).limits == (-65.5, 62)


def test_integers_of_an_array():
    """To nearest even, then saturated."""
    found = quantize_array(np.float32([-1000, -0.75, 0, 0.25, 0.75, 10, 1000]), Scale(np.float32(0.5), 3))
    assert found.tolist() == [-128, 1, 3, 3, 5, 23, 127] and found.dtype == np.int8


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_have_a_scale_per_channel(axis):
    weight = np.float32([[254, -63.5, 0.4], [-0.127, 0.001, 0.0006], [0, 0, 0]])
    q, scales = quantize_weight(weight if axis == 0 else weight.T, axis)
    assert scales == pytest.approx([2, 0.001, 1])
    assert (q if axis == 0 else q.T).tolist() == [[127, -32, 0], [-127, 1, 1], [0, 0, 0]]


def test_weights_that_a_bias_makes_coarse():
    q, scales = quantize_weight(np.float32([[127, 60], [127, 60]]), 0, np.float32([0.5, 2]))
    assert scales.tolist() == [1, 2] and q.tolist() == [[127, 60], [64, 30]]
    q, scales = quantize_weight(np.float32([[0, 0], [0, 0]]), 0, np.float32([TINY, TINY / 2]))
    assert scales.tolist() == [TINY, 1]


@pytest.mark.parametrize("axis", [0, 1])
def test_large_weights_are_rounded_in_parts(axis):
    """4 Mi weights: 4 MiB of integers, and two parts of 4 MiB each."""
    weight = np.random.default_rng(0).integers(-127, 128, (1 << 11, 1 << 11)).astype(np.float32)
    weight[0], weight[:, 0] = 127, 127
    tracemalloc.start()
    q, scales = quantize_weight(weight, axis)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (scales == 1).all() and np.array_equal(q, weight)
    assert peak < 14 << 20


def test_scales_that_keep_a_bias_inside_half_of_int32():
    bias = np.float32([0, 2**30, -(2**31), 3e38])
    assert least_weight_scale(bias[:3], np.float32(1)).tolist() == [2 * TINY, 1, 2]
    assert least_weight_scale(bias[1:3], np.float32(0.25)).tolist() == [4, 8]
    assert least_weight_scale(bias[3:], np.float32(1e-20)).tolist() == [LARGEST]


def test_a_bias_has_the_scale_of_the_accumulator():
    q, scales = quantize_bias(np.float32([1, -3.0625, 1e30, -1e30]), np.float32(0.5), np.float32([0.25, 0.25, 2, 2]))
    assert scales.tolist() == [0.125, 0.125, 1, 1]
    assert q.tolist() == [8, -24, 1 << 30, -(1 << 30)]
    assert q.dtype == np.int32
