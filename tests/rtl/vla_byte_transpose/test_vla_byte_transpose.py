"""vla_byte_transpose: both block sizes, groups from two words to a whole block."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import run_cocotb


@pytest.mark.parametrize(("block", "words"), [(8, 4), (8, 8), (16, 4), (16, 2)])
def test_transpose(tmp_path: Path, block: int, words: int) -> None:
    run_cocotb(
        "vla_byte_transpose", Path(__file__).with_name("transpose_cocotb.py"), tmp_path, Block=block, Words=words
    )
