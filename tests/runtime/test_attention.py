"""The attention of conformance equals the same by matrices, on `sim` and by the instructions' meaning.

The numbers of the matrices are worked out in float64 on the same integers, where every product below is exact.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_isa import hardware, hazards
from vla_isa.instructions import ErrorCode
from vla_isa.validate import validate
from vlarun.backends import SimBackend, run_once
from vlarun.conformance import reference
from vlarun.conformance.attention_cases import DIM, HEADS, NEW, SCALES, Attention

I64 = NDArray[np.int64]


def float_requantized(acc: I64, mult: I64 | int, shift: I64 | int) -> NDArray[np.float64]:
    """acc * mult * 2^-shift rounded to nearest even, exact below 2^53."""
    return np.rint(np.asarray(acc, np.float64) * mult * np.exp2(-np.asarray(shift, np.float64)))


def expected(a: Attention, records: tuple[I64, I64]) -> tuple[I64, I64]:
    """(sums, output) by matrices, with the machine's records of the sums [heads, pixels]."""
    valid = np.arange(a.keys) < (a.limit + np.arange(NEW))[:, None]
    logits = np.clip(float_requantized(a.q @ a.k.T, *a.logit_scale), -32767, 32767)
    best = np.where(valid, logits, -32768).max(axis=-1, keepdims=True)
    a_mult, shift, table = a.exponents
    index = np.clip(float_requantized((logits - best).astype(np.int64), a_mult, shift) + 127, -128, 127)
    e = np.where(valid, table[index.astype(np.int64) + 128], 0).astype(np.int64)
    mult, places = (r[..., None] for r in records)
    return e.sum(axis=-1), np.clip(float_requantized(e @ a.v, mult, places), -128, 127).astype(np.int64)


def read(a: Attention, act: NDArray[np.int8], name: str) -> NDArray[np.int8]:
    """The output [heads, pixels, dim], or items [heads * pixels, 16]."""
    if name != "out":
        return act.reshape(-1)[a.bases[name] * a.hw.block :][: HEADS * NEW * 16].reshape(-1, 16)
    rows = act[a.bases["out"] :][: HEADS * a.dim_blocks * 24].reshape(HEADS, a.dim_blocks, 24, -1)
    return rows[:, :, :NEW].transpose(0, 2, 1, 3).reshape(HEADS, NEW, -1)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_attention_equals_matrices(config: str) -> None:
    attention = Attention(hardware.load(config))
    program = attention.program()
    hazards.check(program)
    validate(program)
    result = run_once(SimBackend(), program, {})
    assert result.status is ErrorCode.OK
    assert np.array_equal(reference.run(program).act, result.memories["act"])
    act = result.memories["act"]
    data = read(attention, act, "records").view(np.uint8).astype(np.int64)
    mult, shift = data[:, 4] | data[:, 5] << 8 | data[:, 6] << 16, data[:, 7]
    sums, out = expected(attention, (mult.reshape(HEADS, NEW), shift.reshape(HEADS, NEW)))
    assert np.array_equal(read(attention, act, "sums")[:, :8].copy().view("<i8").reshape(HEADS, NEW), sums)
    k = attention.out_scale[0] * 2.0 ** -attention.out_scale[1]
    assert np.abs(mult * np.exp2(-shift.astype(np.float64)) * sums.reshape(-1) / k - 1).max() < 2.1e-7
    assert np.array_equal(read(attention, act, "out"), out)
    assert not out[..., DIM:].any() and len(np.unique(out)) > 100
    assert signal_to_noise(attention, out) > 30


def signal_to_noise(a: Attention, out: I64) -> float:
    """Of the output beside a softmax in floats, in dB."""
    valid = np.arange(a.keys) < (a.limit + np.arange(NEW))[:, None]
    logits = (a.q @ a.k.T) * SCALES["q"] * SCALES["k"] * DIM**-0.5
    p = np.where(valid, np.exp(logits), 0)
    exact = (p / p.sum(axis=-1, keepdims=True)) @ a.v * SCALES["v"]
    return float(10 * np.log10((exact**2).sum() / ((out * SCALES["out"] - exact) ** 2).sum()))


def test_a_fully_masked_row_gives_zeros() -> None:
    """No key is valid: the maximum is -32768, every exponent 0, the record 0, the output 0."""
    attention = Attention(hardware.load("u50"), limit=0)
    act = run_once(SimBackend(), attention.program(), {}).memories["act"]
    first = [h * NEW for h in range(HEADS)]  # pixel 0 of each head sees `limit` keys
    assert (read(attention, act, "maxima")[first, :8].copy().view("<i8") == -32768).all()
    assert not read(attention, act, "sums")[first].any() and not read(attention, act, "records")[first].any()
    assert not read(attention, act, "out")[:, 0].any() and read(attention, act, "out")[:, 1].any()
