"""The Verilog is clean for Verilator, Icarus and Yosys. Pyverilog reads it in test_interface.py.

Not here: what the modules do (the folders beside this file).
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from bench import RTL, SOURCES, TOP, parameters, verilator

from vla_isa import hardware


def need(tool: str) -> str:
    """The path of a tool; skips the test where it is not installed."""
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def run(*command: str | Path, timeout: int = 600) -> str:
    """Run a tool; returns what it printed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=timeout)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text[-4000:]
    return text


@pytest.mark.parametrize("config", hardware.names())
def test_verilator_has_no_warning(config: str) -> None:
    sizes = [f"-G{k}={v}" for k, v in parameters(hardware.load(config)).items()]
    include = f"-I{RTL / 'generated'}"
    text = run(verilator(), "--lint-only", "-Wall", "--top-module", TOP, *sizes, include, *SOURCES)
    assert "%Warning" not in text


def test_no_warning_is_switched_off() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "lint_off" not in text and "tracing_off" not in text, path.name


@pytest.mark.parametrize("config", hardware.names())
def test_icarus_elaborates_plain_verilog_2005(config: str, tmp_path: Path) -> None:
    sizes = [f"-P{TOP}.{k}={v}" for k, v in parameters(hardware.load(config)).items()]
    run(need("iverilog"), "-g2005", "-s", TOP, *sizes, "-o", tmp_path / "out", f"-I{RTL / 'generated'}", *SOURCES)


@pytest.mark.parametrize("tool", ["verilator", "iverilog"])
def test_a_bad_parameter_stops_elaboration_with_its_name(tool: str, tmp_path: Path) -> None:
    module, include = RTL / "src" / "vla_param_memory.v", f"-I{RTL / 'lib'}"
    if tool == "verilator":
        command = [verilator(), "--lint-only", "-GBlock=12", include, module]
    else:
        size = "-Pvla_param_memory.Block=12"
        command = [need(tool), "-g2005", size, "-o", tmp_path / "out", module, RTL / "lib" / "vla_ram_1r1w.v"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "vla_bad_parameter_block_8_or_16" in done.stdout + done.stderr


@pytest.mark.slow
def test_yosys_finds_no_latch_and_no_conflict() -> None:
    sizes = " ".join(f"-chparam {k} {v}" for k, v in parameters(hardware.load("tiny")).items())
    read = f"read_verilog -I{RTL / 'generated'} {' '.join(map(str, SOURCES))}"
    run(need("yosys"), "-q", "-p", f"{read}; hierarchy -check -top {TOP} {sizes}; script {RTL / 'synth' / 'check.ys'}")


def test_yosys_check_finds_a_latch(tmp_path: Path) -> None:
    """The check of the test above is not blind."""
    latch = tmp_path / "latch.v"
    latch.write_text("module latch(input e, input d, output reg q); always @* if (e) q = d; endmodule\n")
    command = [need("yosys"), "-q", "-p", f"read_verilog {latch}; script {RTL / 'synth' / 'check.ys'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "latch" in done.stdout + done.stderr
