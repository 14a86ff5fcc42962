"""vla_core_monitor: how a run ends."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_ends_of_runs(tmp_path: Path) -> None:
    run_cocotb("vla_core_monitor", Path(__file__).with_name("monitor_cocotb.py"), tmp_path, QuietCycles=64)
