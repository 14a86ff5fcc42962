"""A large graph exported and compiled in processes of their own, for benchmarks of published shapes.

What they write is in a folder: model.onnx with its weights beside it, frame.npz, program.bin. Not here: which graphs,
and what is made of the programs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vla_isa import hardware, image, timing
from vla_isa.program import Program
from vlac import CompileOptions, compile_file

if TYPE_CHECKING:
    from vla_models.policy import GraphSpec

__all__ = ["compile_folder", "export_graph", "loop_cycles", "measured"]


def export_graph(graph: GraphSpec, folder: Path) -> None:
    """model.onnx, with its weights beside it, and frame.npz, one random frame of its inputs."""
    import torch

    from vla_models.export_onnx import OPSET

    frame = graph.example()
    np.savez(folder / "frame.npz", **{name: value.numpy() for name, value in frame.items()})
    with torch.no_grad():
        made = torch.onnx.export(
            graph.module,
            tuple(frame.values()),
            dynamo=True,
            opset_version=OPSET,
            optimize=False,  # whose search is quadratic in the nodes; the compiler folds constants anyway
            input_names=list(frame),
            output_names=list(graph.outputs),
            verbose=False,
        )
    made.save(folder / "model.onnx", external_data=True)


def compile_folder(config: str, folder: Path) -> None:
    """program.bin of model.onnx."""
    options = CompileOptions(calibration=folder / "frame.npz", keep_float=False)
    program = compile_file(folder / "model.onnx", hardware.load(config), options).program
    assert program is not None
    image.save(program, folder / "program.bin")


def loop_cycles(program: Program, rounds: int) -> tuple[int, int]:
    """Of a program that is a loop of so many rounds, at least 4: cycles of all of it, and of its third round."""
    report = timing.estimate(program)
    ends: dict[int, list[int]] = {}
    for packet in report.packets:
        ends.setdefault(packet.number, []).append(packet.end)
    inside = [each for each in ends.values() if len(each) == rounds]
    second, third = (max(each[number] for each in inside) for number in (1, 2))
    return report.total_cycles, third - second


def measured(script: str, stage: str, *arguments: str) -> tuple[float, float]:
    """Seconds of processor time and GiB, at most, of a stage of a script in a process of its own.

    Raises:
        SystemExit: it fails.
    """
    process = subprocess.Popen([sys.executable, script, "--stage", stage, *arguments])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{stage} failed: {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20
