"""Programs of the benchmark graphs: compiled here and now, with random calibration data.

Not here: what is measured on them.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import onnx
from numpy.typing import NDArray

from vla_isa import hardware
from vla_isa.program import Program
from vlac.api import compile_file
from vlac.options import CompileOptions

__all__ = ["compile_graph", "compile_model", "count", "machine", "names_of", "numbers", "random_inputs"]


def compile_graph(name: str, config: str) -> Program:
    """The program of a graph of `graphs.GRAPHS` for a hardware config.

    Raises:
        VlaError: the compiler refuses it.
    """
    return compile_model(graphs.GRAPHS[name](), config)


def compile_model(model: onnx.ModelProto, config: str, **options: Any) -> Program:
    """The program of a model for a hardware config; `options` are more of `CompileOptions`.

    Raises:
        VlaError: the compiler refuses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        state = compile_file(path, hardware.load(config), CompileOptions(calibration="random:2", **options))
    assert state.program is not None
    return state.program


def random_inputs(program: Program, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Standard normal float32 inputs of a program, by name; those of whole numbers are 0."""
    rng = np.random.default_rng(seed)
    drawn = {v.name: rng.standard_normal(v.shape).astype(np.float32) for v in program.model_inputs}
    whole = {v.name: np.zeros(v.shape, v.dtype) for v in program.model_inputs if np.issubdtype(v.dtype, np.integer)}
    return drawn | whole


def machine() -> dict[str, Any]:
    """What speed depends on: processor, cores this process may use, load before the run, versions."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def names_of(known: Collection[str], *, none: bool = False) -> Callable[[str], list[str]]:
    """For argparse: names with commas between them, all of `known`; an empty text is none of them where that may be."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",") if text or not none else []
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(map(repr, unknown))}; give {', '.join(known)}")
        return chosen

    return parse


def numbers(text: str) -> list[int]:
    """For argparse: whole numbers from 0 on with commas between them."""
    if not re.fullmatch(r"\d{1,12}(,\d{1,12})*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers N,N,... from 0 on")
    return [int(part) for part in text.split(",")]


def count(text: str) -> int:
    """For argparse: a whole number from 1 on."""
    if not re.fullmatch(r"0*[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 to 999,999,999")
    return int(text)
