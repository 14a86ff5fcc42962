"""vla_recip: every mantissa beside a formula in wide integers, and single items beside exact fractions."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bench import RTL, build_bench, run_bench

from vla_isa import numerics

HERE = Path(__file__).parent
RECIPROCAL, RSQRT = 0, 1
M23, M24 = 1 << 23, 1 << 24
Items = list[tuple[int, int]]  # value, second


def build() -> Path:
    return build_bench("vla_recip", (RTL / "src" / "vla_recip.v", HERE / "bench.cpp"))


def run_list(
    folder: Path, function: int, items: Items, *, mult: int, shift: int, add: int = 0, minus: int = 0, gaps: int = 0
) -> Items:
    """(multiplier, shift) of every record; the biases are checked here."""
    job = struct.pack("<5I", 1, function, minus, mult, shift) + struct.pack("<Q2I", add, len(items), gaps)
    data, _ = run_bench(build(), job + b"".join(struct.pack("<qi", *item) for item in items), folder)
    records = [struct.unpack_from("<iI", data, 8 * n) for n in range(len(items))]
    for (_, second), (bias, _) in zip(items, records, strict=True):
        assert bias == (((-second + (1 << 31)) % (1 << 32)) - (1 << 31) if minus else 0)
    return [(word & (M24 - 1), word >> 24) for _, word in records]


@pytest.mark.parametrize("function", [RECIPROCAL, RSQRT], ids=["reciprocal", "rsqrt"])
@pytest.mark.parametrize(
    ("position", "mult", "edge"),
    [(23, M23, False), (24, M24 - 1, True), (61, 11_863_283, False), (62, M23 + 1, True)],
    ids=["low", "low-edge", "high", "high-edge"],
)
def test_every_mantissa(tmp_path: Path, function: int, position: int, mult: int, edge: bool) -> None:
    """Both parities of the position, ends and middle of K; at an edge some results need a shift of 64."""
    exponent = position >> 1 if function == RSQRT else position
    job = struct.pack("<5I", 0, function, position, mult, 63 - exponent if edge else 1)
    data, _ = run_bench(build(), job, tmp_path)
    items, worst = struct.unpack("<Qd", data)
    assert items == M23
    bound = 1.45 if function == RSQRT else 1.15  # of the reciprocal alone, as enumerated when it was designed
    assert 0 < worst < (bound if mult == M23 else 2 * bound + 1)  # times K: at most doubled, and cut once more


@pytest.mark.parametrize("function", [RECIPROCAL, RSQRT], ids=["reciprocal", "rsqrt"])
def test_items(tmp_path: Path, function: int) -> None:
    """Every leading one, every lowest bit lost, zero, negative values, with gaps; near the exact fraction."""
    rng = np.random.default_rng(function)
    values = [0, 1, 2, 3, -1, -(1 << 63), (1 << 63) - 1]
    values += [(1 << p) + d for p in range(1, 63) for d in (-1, 0, 1)]
    values += [int(v) for v in rng.integers(0, 1 << 62, 3000) >> rng.integers(0, 62, 3000)]
    seconds = rng.integers(-(1 << 31), 1 << 31, len(values)).tolist()
    items = list(zip(values, seconds, strict=True))
    means = numerics.rsqrt if function == RSQRT else numerics.reciprocal
    for mult, shift, minus in ((M23, 0, 0), (M24 - 1, 63, 1), (12_345_678, 20, 1)):
        got = run_list(tmp_path, function, items, mult=mult, shift=shift, minus=minus, gaps=30)
        want = means(np.array(values), mult, shift)
        assert got == list(zip(want[0].tolist(), want[1].tolist(), strict=True))
        for x, (m, s) in zip(values, got, strict=True):
            check_exact(function, x, Fraction(mult, 1 << shift), m, s)


def check_exact(function: int, x: int, k: Fraction, m: int, s: int) -> None:
    """A record beside the exact K / x or K / sqrt(x)."""
    if x <= 0:
        assert (m, s) == (0, 0)
        return
    exact = float(k) / math.sqrt(x) if function == RSQRT else float(k / x)
    if exact < 2.0**-41:  # a multiplier of 24 bits needs a shift beyond 63
        assert (m, s) == (0, 0)
    elif m or exact > 2.0**-40:
        assert M23 <= m < M24 and abs(m * 2.0**-s / exact - 1) < 2.2e-7


def test_the_sum_wraps_and_negative_sums_give_zero(tmp_path: Path) -> None:
    top = (1 << 56) - 1
    items = [(-top, 5), (-top - 1, 5), (-top + 1, 5), ((1 << 63) - 1, 5), (0, -(1 << 31))]
    got = run_list(tmp_path, RSQRT, items, mult=M23, shift=0, add=top, minus=1)
    want = numerics.rsqrt(np.array([0, -1, 1, -1, top]), M23, 0)
    assert got == list(zip(want[0].tolist(), want[1].tolist(), strict=True))
    assert got[2] == (M23, 0) or got[2] == (M24 - 1, 1)
    assert got[:2] == [(0, 0), (0, 0)] and got[3] == (0, 0)
