"""vla_control: the register map over AXI4-Lite."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_host_view(tmp_path: Path) -> None:
    run_cocotb("vla_control", Path(__file__).with_name("control_cocotb.py"), tmp_path)
