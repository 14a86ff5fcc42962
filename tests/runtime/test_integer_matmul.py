"""The integer matrix product is exact: extreme operands, depths that wrap, both operand types."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa.numerics import wrap32
from vlarun import matmul as module
from vlarun.matmul import SIGN, matmul


def expected(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return wrap32((a.view(np.uint8) ^ SIGN).astype(np.uint8).view(np.int8).astype(np.int64) @ b.astype(np.int64))


@pytest.fixture(params=[True, False], ids=["signed weights", "unsigned weights"])
def signed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not module.signed_weights_are_exact():
        pytest.skip("this CPU saturates uint8 x int8 products; the runtime uses uint8 x uint8 here")
    monkeypatch.setattr(module, "signed_weights_are_exact", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 4096, 16), (7, 576, 64), (33, 17, 5), (130, 64, 130)])
def test_random_and_extreme(signed: bool, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rng = np.random.default_rng(0)
    for low, high in ((0, 256), (0, 1), (255, 256)):
        a = rng.integers(low, high, (m, k)).astype(np.uint8)
        for b in (
            rng.integers(-128, 128, (k, n)),
            np.full((k, n), -128),
            np.full((k, n), 127),
            rng.choice([-128, 127], (k, n)),
        ):
            b8 = b.astype(np.int8)
            assert np.array_equal(matmul(a, b8), expected(a, b8))


def test_batches(signed: bool) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (5, 9, 144)).astype(np.uint8)
    b = rng.integers(-128, 128, (5, 144, 16)).astype(np.int8)
    assert np.array_equal(matmul(a, b), expected(a, b))


def test_accumulators_wrap(signed: bool) -> None:
    depth = 131_072 + 5  # 2^31 + 5 * 2^14
    a = np.zeros((1, depth), np.uint8)  # -128 each
    b = np.full((depth, 3), -128, np.int8)
    assert matmul(a, b).tolist() == [[-(1 << 31) + (5 << 14)] * 3]


def test_the_probe_tells_whether_products_saturate() -> None:
    """Wherever the quick way is exact it is taken: on a CPU that saturates, pairs of 255 x 127 show it."""
    a, b = np.full((4, 64), 255, np.uint8), np.full((64, 16), 127, np.int8)
    quick = module._run(module._session(True), a, b)
    assert module.signed_weights_are_exact() == np.array_equal(quick, expected(a, b))
