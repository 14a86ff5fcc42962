"""Random blocks on the device: 1 to 16 heads, widths and lengths off every multiple, all masks, stage by stage."""

import numpy as np
import pytest
from blocks import Block
from on_device import check
from parity import check_rtl

FEW, USUAL = 6, 30
LEAST = 24.0  # dB, of 8-bit rows of few channels


def random_block(seed):
    rng = np.random.default_rng(seed)

    def choose(*options):
        return options[rng.integers(len(options))]

    heads = int(rng.integers(1, 17))
    key_heads = choose(*(n for n in range(1, heads + 1) if heads % n == 0))
    d = int(rng.integers(2, 13 if heads > 8 else 25))
    length = 2 * int(rng.integers(1, 20)) + 1
    rotary = choose(0, 0, 2, d) if d % 2 == 0 else 0
    masks = {
        "none": None,
        "causal": None,
        "padding": np.tile(np.arange(length) < rng.integers(1, length + 1), (length, 1)),
        "row": np.tile((rng.random(length) < 0.6) | (np.arange(length) == 0), (length, 1)),
        "tensor": (rng.random((length, length)) < 0.6) | np.eye(length, dtype=bool),
        "a row without keys": (rng.random((length, length)) < 0.8) & (np.arange(length) != length // 2)[:, None],
        "prefix": np.tri(length, dtype=bool) | (np.arange(length) < rng.integers(1, length + 1)),
        "window": np.tri(length, dtype=bool) & ~np.tri(length, k=-3, dtype=bool),
        "bias": rng.standard_normal((length, length)).astype(np.float32),
        "bias of heads": rng.standard_normal((1, heads, length, length)).astype(np.float32),
        "slopes": -0.2 * np.abs(np.subtract.outer(np.arange(length), np.arange(length))).astype(np.float32),
    }
    mask = choose(*masks)
    return Block(
        *(length, heads * d, heads, key_heads, mask == "causal", masks[mask]),
        rms=choose(False, True),
        packed=choose(False, True),
        rotary=rotary,
        interleaved=choose(False, True) and rotary > 0,
        outliers=choose(False, False, True),
    )


def pytest_generate_tests(metafunc):
    """As many seeds as were asked for; all but the first few are slow, and run on the Verilog machine too."""
    count = metafunc.config.getoption("--random-blocks")
    marks = [pytest.mark.slow, pytest.mark.xdist_group("rtl tiny")]
    more = [pytest.param(seed, True, marks=marks) for seed in range(FEW, count)]
    metafunc.parametrize(("seed", "rtl"), [*((seed, count > USUAL) for seed in range(min(FEW, count))), *more])


def test_random_block(seed, rtl):
    found = check(random_block(seed).model(), "tiny", least=LEAST, samples=64, over=4)
    if rtl:
        check_rtl(found.state, found.inputs)
