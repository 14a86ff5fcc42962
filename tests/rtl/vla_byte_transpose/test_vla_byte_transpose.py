"""vla_byte_transpose: both block sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import run_cocotb


@pytest.mark.parametrize("block", [8, 16])
def test_transpose(tmp_path: Path, block: int) -> None:
    run_cocotb("vla_byte_transpose", Path(__file__).with_name("transpose_cocotb.py"), tmp_path, Block=block)
