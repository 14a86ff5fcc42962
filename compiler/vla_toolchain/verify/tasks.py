"""Models in ONNX Runtime, and programs, each sample in the task that its inputs choose.

Not here: which one that is (`vlac/model/task_masks.py`), what is measured (`report.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx_ir as ir

from vla_isa.package import Package
from vla_isa.program import Program
from vla_toolchain.verify.reference import Arrays
from vlac.errors import ModelError
from vlac.model.onnx_runtime import OnnxRuntimeError
from vlac.model.task_masks import TaskMasks, masked_models
from vlac.quantize.float_session import FloatSession
from vlarun.session import Session

__all__ = ["entry_run", "in_tasks", "model_run"]

Run = Callable[[Arrays], Arrays]


def model_run(model: ir.Model, outputs: Collection[str]) -> Run:
    """A model in ONNX Runtime.

    What is returned raises ModelError where the model does not run on its inputs.
    """
    names = [str(v.name) for v in model.graph.outputs if v.name in outputs]
    session = FloatSession(model, names)

    def run(inputs: Arrays) -> Arrays:
        try:
            return dict(zip(names, session.run(inputs), strict=True))
        except OnnxRuntimeError as e:
            raise ModelError(f"without the samples that were held out the model does not run on them: {e}") from e

    return run


def in_tasks(model: ir.Model, tasks: TaskMasks, outputs: Collection[str]) -> Run:
    """A model in ONNX Runtime with the masks of the inputs' task."""
    runs = [model_run(masked, outputs) for masked in masked_models(model, tasks)]
    return lambda inputs: runs[tasks.number(inputs)](inputs)


def entry_run(product: Program | Package, tasks: TaskMasks) -> Run:
    """A program at the entry point of the inputs' task."""
    assert isinstance(product, Program)  # a program with host partitions has no tasks
    session, names = Session(product), list(tasks.channels)
    return lambda inputs: session.run(inputs, entry=names[tasks.number(inputs)])
