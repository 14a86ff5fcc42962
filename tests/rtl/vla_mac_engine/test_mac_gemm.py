"""What only GEMM does on vla_mac_engine: int16 results, their residual, maxima and records of rows; pace and corners.

Not here: random packets (`test_vla_mac_engine.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mac_bench import Sequence

from vla_isa import hardware, numerics
from vla_isa.encoding import make_packet
from vlarun.execute import gemm

TINY, U50 = hardware.load("tiny"), hardware.load("u50")


@pytest.mark.slow
def test_one_row_gemm_reads_a_weight_word_a_cycle(tmp_path: Path) -> None:
    sequence = Sequence(U50, 8)
    sequence.add_packet(
        make_packet("GEMM", m=1, k_blocks=256, n_blocks=32, in_pitch=1, out_pitch=1, out_base=5000, lo=-128, hi=127)
    )
    result = sequence.verify(tmp_path, meaning=gemm.execute)
    assert result.done[0] - result.accepted[0] <= 256 * 32 + 40


def logits(sequence: Sequence, m: int, k_blocks: int, **fields: int) -> None:
    """Append a `tiny` GEMM of 3 out blocks with int16 results."""
    sequence.machine.param[:3] = np.tile(numerics.pack_records(5, 1 << 23, 28).reshape(-1), 8)
    packet = {"m": m, "k_blocks": k_blocks, "n_blocks": 3, "in_pitch": m, "in_row_stride": k_blocks * m}
    packet |= {"out_base": 4096, "out_pitch": m, "out_row_stride": 6 * m, "out_bytes": 1}
    sequence.add_packet(make_packet("GEMM", **(packet | fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"res_kind": 1, "res_base": 8192, "res_pitch": 203},
        {"res_kind": 2, "res_base": 8192, "res_pitch": 1},
        {"scale_by": 2, "row_base": 12288},
    ],
    ids=("plain", "residual", "row", "records"),
)
def test_int16_results_hide_behind_four_steps(tmp_path: Path, fields: dict[str, int]) -> None:
    """A strip of 4 pixels has 8 words, 2 are written in a cycle."""
    sequence = Sequence(TINY, 11)
    logits(sequence, 203, 4, **fields)
    result = sequence.verify(tmp_path, meaning=gemm.execute)
    assert result.busy[0] == 51 * 3 * 4
    assert result.done[0] - result.accepted[0] <= 51 * 3 * 4 + 50


@pytest.mark.parametrize("stalls", [0, 30])
@pytest.mark.parametrize(("h", "m"), [(1, 1024), (32, 32), (11, 93), (1024, 1)])
def test_maxima_of_1024_pixels(tmp_path: Path, h: int, m: int, stalls: int) -> None:
    """The most there may be, twice, beside each other and around row ends; the second batch does not see the first."""
    sequence = Sequence(TINY, 12)
    fields = {"h": h, "batch": 2, "scale_by": 1, "row_max": 1, "row_base": 12288, "row_batch_stride": 2048}
    fields |= {"limit": 9, "limit_step": 1, "in_batch_stride": 7, "out_base": 1500, "out_batch_stride": 3 * h * m}
    logits(sequence, m, 1, n_blocks=1, out_row_stride=2 * m, **fields)
    sequence.verify(tmp_path, meaning=gemm.execute, stalls=stalls)


@pytest.mark.parametrize("rounding", range(3))
def test_sums_and_residuals_of_any_size(tmp_path: Path, rounding: int) -> None:
    """Shifts from none to all bits, residuals at the ends of int16: every clamp is met, and a masked value."""
    sequence = Sequence(TINY, 13)
    sequence.machine.act[8192:8400] = sequence.rng.choice(np.array([-128, -1, 0, 127], np.int8), (208, 8))
    fields = {"m": 11, "k_blocks": 2, "n_blocks": 3, "in_pitch": 11, "out_base": 4096, "out_pitch": 11, "out_bytes": 1}
    fields |= {"res_base": 8192, "res_pitch": 11, "scale_by": 1, "limit": 20, "row_base": 12288, "rounding": rounding}
    for word, shift in enumerate((0, 22, 23, 35, 37, 39, 40, 41, 53, 63)):
        sequence.machine.param[word] = np.tile(numerics.pack_records(-3, 1 << 23, shift).reshape(-1), 8)
        for kind in range(6):
            fields |= {"param_base": word, "res_kind": kind // 2, "row_max": kind % 2}
            sequence.add_packet(make_packet("GEMM", **fields))
    sequence.verify(tmp_path, meaning=gemm.execute, stalls=20)
