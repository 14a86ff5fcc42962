"""vla_read_arbiter: bursts kept whole, in turn, routed back."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_random_bursts(tmp_path: Path) -> None:
    run_cocotb("vla_read_arbiter", Path(__file__).with_name("arbiter_cocotb.py"), tmp_path, Clients=3, InFlight=8)
