"""vla_queue: in order, semaphores before the engine, signals after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import run_cocotb


@pytest.mark.parametrize("depth", [2, 8])
def test_random_traffic(depth: int, tmp_path: Path) -> None:
    run_cocotb("vla_queue", Path(__file__).with_name("queue_cocotb.py"), tmp_path, Depth=depth)
