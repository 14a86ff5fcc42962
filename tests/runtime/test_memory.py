"""Regions: every strided, ringed, wrapping or self-overlapping region reads and writes as its addresses say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vlarun.memory import Region, WeightCache

SIZE = 257

regions = st.builds(
    lambda base, counts, strides, inner, ring, slot: Region(
        base, counts, strides, inner, max(ring, counts[1]) if ring else 0, slot % max(ring, counts[1]) if ring else 0
    ),
    st.integers(0, SIZE - 1),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3)),
    st.tuples(st.integers(0, 90), st.integers(0, 40), st.integers(0, 20)),
    st.integers(1, 9),
    st.integers(0, 7),
    st.integers(0, 9),
)


def slow_addresses(r: Region) -> list[int]:
    out = []
    for o in range(r.counts[0]):
        for y in range(r.counts[1]):
            row = (r.slot + y) % r.ring if r.ring else y
            for c in range(r.counts[2]):
                start = r.base + o * r.strides[0] + row * r.strides[1] + c * r.strides[2]
                out += [(start + i) % SIZE for i in range(r.inner)]
    return out


@settings(max_examples=300, deadline=None)
@given(regions)
def test_read_and_write(region: Region) -> None:
    memory = np.arange(SIZE).astype(np.int8)
    at = slow_addresses(region)
    assert region.read(memory).reshape(-1).tolist() == memory[at].tolist()
    values = np.random.default_rng(0).integers(-128, 128, region.shape).astype(np.int8)
    want = memory.copy()
    for address, value in zip(at, values.reshape(-1), strict=True):
        want[address] = value
    region.write(memory, values)
    assert np.array_equal(memory, want)


def test_weight_cache_forgets_changed_words() -> None:
    cache = WeightCache()
    words, matrix = np.arange(6, dtype=np.int8).reshape(2, 3), np.ones((3, 2), np.int8)
    cache.keep(64, (1, 2), words, matrix)
    assert cache.find(64, (1, 2), words.copy()) is matrix
    assert cache.find(64, (2, 1), words) is None
    assert cache.find(128, (1, 2), words) is None
    words[1, 1] += 1
    assert cache.find(64, (1, 2), words) is None
