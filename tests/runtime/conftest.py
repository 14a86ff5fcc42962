"""The hand-made program as an object, as a file, and inputs for it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hand_program import good_inputs, make_program

from vla_isa import image
from vla_isa.program import Program

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # graphs.py, prepare.py


@pytest.fixture
def program() -> Program:
    return make_program()


@pytest.fixture
def program_file(tmp_path: Path) -> Path:
    path = tmp_path / "prog.bin"
    image.save(make_program(), path)
    return path


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    np.savez(path, **good_inputs())
    return path
