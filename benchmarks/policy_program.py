"""The program of a saved policy, all graphs of it, calibrated with held-out frames of its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_isa import image
from vla_isa.files import make_folder
from vla_training.calibrate import calibration_arrays
from vlac import CompileOptions, compile_file, compile_graphs
from vlac.options import ACTIVATIONS

__all__ = ["compiled", "onnx_files"]

_FRAMES = 256


def onnx_files(program: Path, graphs: Sequence[str]) -> dict[str, Path]:
    """Where the models lie that a program was made of, by graph."""
    model = program.with_suffix(".onnx")
    return {name: model if len(graphs) == 1 else model.with_stem(f"{model.stem}-{name}") for name in graphs}


def compiled(policy: Path, program: Path, data: Path, config: str, activations: str = ACTIVATIONS[0]) -> Path:
    """The program's file; what is there already is taken as it is.

    Args:
        policy: a saved policy; where it has several graphs, none of which hands anything to another, the program has an
            entry point of each.
        program: the file, beside which the exported models lie.
        data: whose held-out frames calibrate.
        config: of the hardware.
        activations: what its layers read.

    Raises:
        VlaError: the policy is not exported, or the compiler refuses it.
    """
    if program.exists():
        return program
    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy

    make_folder(program.parent)
    module: Any = load_policy(policy)
    export_onnx(module, program.with_suffix(".onnx"))
    arrays = calibration_arrays(data, policy, _FRAMES)
    graphs = module.graphs()
    options = {
        g.name: CompileOptions(calibration={name: arrays[name] for name in g.inputs()}, activations=activations)
        for g in graphs
    }
    files = onnx_files(program, [graph.name for graph in graphs])
    if len(graphs) > 1:
        image.save(compile_graphs(files, config, options).program, program)
        return program
    (only,) = files
    made = compile_file(files[only], config, options[only]).program
    assert made is not None
    image.save(made, program)
    return program
