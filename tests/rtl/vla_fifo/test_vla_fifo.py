"""vla_fifo: first in, first out."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import run_cocotb


@pytest.mark.parametrize("depth", [2, 4])
def test_random_traffic(depth: int, tmp_path: Path) -> None:
    run_cocotb("vla_fifo", Path(__file__).with_name("fifo_cocotb.py"), tmp_path, Width=12, Depth=depth)
