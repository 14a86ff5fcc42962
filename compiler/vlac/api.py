"""Compile from Python: the whole pipeline behind two functions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx

from vla_isa import hardware
from vla_isa.errors import check_type
from vla_isa.files import write_whole
from vla_isa.hardware import HardwareConfig
from vla_isa.program import Program
from vlac.options import CompileOptions
from vlac.partition import compile_with_host
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES

__all__ = ["compile_file", "compile_model"]


def compile_file(
    model: str | Path | onnx.ModelProto,
    hw: HardwareConfig | str,
    options: CompileOptions | None = None,
    on_progress: Callable[[str], None] = lambda name: None,
) -> Compilation:
    """Compile an ONNX model and keep everything the passes made (QDQ model, graph, plan, times).

    Args:
        model: a file, or a model in memory.
        hw: a hardware config, or its name (`vlac configs`), or a TOML file's.
        options: how to compile; a float model needs `calibration`.
        on_progress: gets the name of every pass before it runs.

    Raises:
        VlaError: a subclass that says what is wrong with the model, the data or the options.
        TypeError: an argument is of another type.
    """
    check_type("model", model, "a file or an onnx.ModelProto", str, os.PathLike, onnx.ModelProto)
    check_type("hw", hw, "a HardwareConfig, a name of 'vlac configs' or a TOML file's name", str, HardwareConfig)
    check_type("options", options, "CompileOptions", CompileOptions, type(None))
    given = model if isinstance(model, onnx.ModelProto) else None
    path = Path(model.graph.name or "model") if isinstance(model, onnx.ModelProto) else Path(model)
    config = hardware.load(hw) if isinstance(hw, str) else hw
    state = Compilation(path, config, options or CompileOptions(), given=given)
    if state.options.allow_host:
        compile_with_host(state, on_progress)
    else:
        run_passes(PASSES, state, write_whole, on_progress)
    return state


def compile_model(
    model: str | Path | onnx.ModelProto, hw: HardwareConfig | str, options: CompileOptions | None = None
) -> Program:
    """Compile an ONNX model to a program without host partitions; see `compile_file`.

    Raises:
        VlaError, TypeError: see `compile_file`.
    """
    check_type("options", options, "CompileOptions", CompileOptions, type(None))
    program = compile_file(model, hw, replace(options or CompileOptions(), allow_host=False)).program
    assert program is not None
    return program
