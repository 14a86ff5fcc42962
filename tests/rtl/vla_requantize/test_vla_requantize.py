"""vla_requantize: the arithmetic, bit for bit."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_requantize(tmp_path: Path) -> None:
    run_cocotb("vla_requantize", Path(__file__).with_name("requantize_cocotb.py"), tmp_path, Lanes=4)
