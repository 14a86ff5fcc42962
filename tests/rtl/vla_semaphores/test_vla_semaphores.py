"""vla_semaphores: takes of a mask in one step, signals, overflow, zero."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_random_clients(tmp_path: Path) -> None:
    run_cocotb("vla_semaphores", Path(__file__).with_name("semaphores_cocotb.py"), tmp_path, Clients=6)
