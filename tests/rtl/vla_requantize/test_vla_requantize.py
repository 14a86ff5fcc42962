"""vla_requantize and the rounding it shares with the vector engine: the arithmetic, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import run_cocotb


@pytest.mark.parametrize("bits", [8, 18])
def test_requantize(tmp_path: Path, bits: int) -> None:
    run_cocotb("vla_requantize", Path(__file__).with_name("requantize_cocotb.py"), tmp_path, Lanes=4, Bits=bits)


@pytest.mark.parametrize("bits", [8, 16, 18])
def test_round(tmp_path: Path, bits: int) -> None:
    run_cocotb("vla_requantize_round", Path(__file__).with_name("round_cocotb.py"), tmp_path, Bits=bits)
