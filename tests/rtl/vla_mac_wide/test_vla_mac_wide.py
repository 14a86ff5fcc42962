"""int16 results of the MAC engine and their maxima, each module alone."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_wide(tmp_path: Path) -> None:
    run_cocotb("vla_mac_wide", Path(__file__).with_name("wide_cocotb.py"), tmp_path, Block=8, Group=2)


def test_maxima(tmp_path: Path) -> None:
    run_cocotb("vla_mac_maxima", Path(__file__).with_name("maxima_cocotb.py"), tmp_path, Block=8, Group=2)
