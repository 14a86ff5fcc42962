"""Compile from Python: the whole pipeline behind two functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vla_isa import hardware
from vla_isa.files import write_whole
from vla_isa.hardware import HardwareConfig
from vla_isa.program import Program
from vlac.options import CompileOptions
from vlac.partition import compile_with_host
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES

__all__ = ["compile_file", "compile_model"]


def compile_file(
    path: str | Path,
    hw: HardwareConfig | str,
    options: CompileOptions | None = None,
    on_progress: Callable[[str], None] = lambda name: None,
) -> Compilation:
    """Compile an ONNX file and keep everything the passes made (QDQ model, graph, plan, times).

    Args:
        path: the ONNX file.
        hw: hardware config, or its name (`vlac configs`), or a TOML file's.
        options: how to compile; a float model needs `calibration`.
        on_progress: called with the name of each pass when it begins.

    Raises:
        VlaError: a subclass that says what is wrong with the model, the data or the options.
    """
    hw = hardware.load(hw) if isinstance(hw, str) else hw
    state = Compilation(Path(path), hw, options or CompileOptions())
    if state.options.allow_host:
        compile_with_host(state, on_progress)
    else:
        run_passes(PASSES, state, write_whole, on_progress)
    return state


def compile_model(path: str | Path, hw: HardwareConfig | str, options: CompileOptions | None = None) -> Program:
    """Compile an ONNX file to a program without host parts; the arguments are those of `compile_file`.

    Raises:
        VlaError: see `compile_file`.
    """
    program = compile_file(path, hw, replace(options or CompileOptions(), allow_host=False)).program
    assert program is not None
    return program
