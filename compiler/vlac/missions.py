"""One graph, several missions: for each an entry point that has some inputs of the model as constants.

A policy that an instruction steers is one program for all instructions it will get. The graph is quantized once, so all
entry points have the same scales; each is, byte for byte, the program that `CompileOptions.constants` makes alone, and
weights of equal bytes are stored once.

Not here: how inputs become constants (`legalize/constant_inputs.py`), how programs become one (`emit/link.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from vla_isa import hardware
from vla_isa.errors import check_type
from vla_isa.files import write_whole
from vla_isa.hardware import HardwareConfig
from vlac.emit.link import link
from vlac.errors import ModelError
from vlac.graphs import CompiledGraphs, check_name, named
from vlac.options import CompileOptions
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES

__all__ = ["MAX_MISSIONS", "compile_missions"]

MAX_MISSIONS = 256
_REWRITTEN, _QUANTIZED = 2, 3  # passes up to then


def compile_missions(
    model: str | Path | onnx.ModelProto,
    hw: HardwareConfig | str,
    missions: Mapping[str, Mapping[str, Any]],
    options: CompileOptions | None = None,
    on_progress: Callable[[str], None] = lambda name: None,
) -> CompiledGraphs:
    """Compile one ONNX model to a program with an entry point for each mission.

    Args:
        model: a file, or a model in memory.
        hw: a hardware config, or its name, or a TOML file's.
        missions: entry point name -> values of the inputs that it has as constants, by name; see
            `CompileOptions.constants`. The first is the one that runs where none is named.
        options: of all; without constants of its own.
        on_progress: gets the name of every pass and mission before it runs.

    Raises:
        VlaError: a subclass that says what is wrong with the model, the data, the options or a mission.
        TypeError: an argument is of another type.
    """
    check_type("model", model, "a file or an onnx.ModelProto", str, os.PathLike, onnx.ModelProto)
    check_type("options", options, "CompileOptions", CompileOptions, type(None))
    options = options or CompileOptions()
    _check(missions, options)
    given = model if isinstance(model, onnx.ModelProto) else None
    path = Path(model.graph.name or "model") if isinstance(model, onnx.ModelProto) else Path(model)
    whole = Compilation(path, hardware.load(hw) if isinstance(hw, str) else hw, options, given=given)
    run_passes(PASSES[:_REWRITTEN], whole, write_whole, on_progress)
    if whole.tasks.channels:
        raise ModelError(
            f"the model has tasks, by {whole.tasks.origin}; a program of several missions has none: leave the masks out"
        )
    run_passes(PASSES[_REWRITTEN:_QUANTIZED], whole, write_whole, on_progress)
    parts = {}
    for name, constants in missions.items():
        part = replace(whole, options=replace(options, constants=constants), seconds={})
        _finish(name, part, on_progress)
        part.graph = part.planned = None  # of many missions they are large
        parts[name] = part
    on_progress("link")
    return CompiledGraphs(link({n: p.program for n, p in parts.items() if p.program is not None}, []), parts)


def _finish(name: str, part: Compilation, on_progress: Callable[[str], None]) -> None:
    """The passes behind quantization."""
    with named(name, "entry point"):
        run_passes(PASSES[_QUANTIZED:], part, write_whole, lambda step: on_progress(f"{name}: {step}"))


def _check(missions: Mapping[str, Mapping[str, Any]], options: CompileOptions) -> None:
    check_type("missions", missions, "a mapping of entry point names to constant inputs", Mapping)
    if not 0 < len(missions) <= MAX_MISSIONS:
        raise ModelError(
            f"{len(missions)} missions are given; a program has 1 to {MAX_MISSIONS} of them. Make several programs"
        )
    for name, constants in missions.items():
        check_name(name)
        check_type(f"missions[{name!r}]", constants, "a mapping of input names to arrays", Mapping)
        if not constants:
            raise ModelError(f"entry point '{name}' has no constant input; give the values of one or more")
    if options.constants:
        raise ModelError("constants are given for all missions and for each; give them for each")
    if options.allow_host:
        raise ModelError("a program of several missions has no host partitions; leave out --allow-host")
