"""Run passes one after another: timing, dumps, and a progress line. A pass is a name and a function.

Not here: the order (`pipeline.py`).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnx_ir as ir
from threadpoolctl import threadpool_limits

from vla_isa.hardware import HardwareConfig
from vla_isa.package import Package
from vla_isa.program import Program
from vlac.errors import ModelError
from vlac.import_onnx import load_model
from vlac.import_onnx.direct_outputs import DirectOutputs
from vlac.import_onnx.source import Source
from vlac.import_onnx.tail import Tail
from vlac.ir.graph import Graph
from vlac.model.task_masks import TaskMasks
from vlac.options import CompileOptions
from vlac.plan.program_plan import ProgramPlan
from vlac.quantize.dialects import from_qonnx, uses_qonnx
from vlac.quantize.static import Joint, Quantized

__all__ = ["Compilation", "Pass", "run_passes"]


@dataclass
class Compilation:
    """Everything known about a model on its way to a program; each pass adds its part.

    `given` is the model where it is not a file's, `source` the ONNX model as it was read, without its large constants
    once `model` has them, `tail` its end without fixed shapes, `direct` its outputs that need no computing; `host` the
    nodes that the machine refuses, with the reason, where the options allow a host; `joint` what it must agree on with
    other graphs of the program; `quantized` what quantization made and made it from. A model with host partitions has
    no `program` but a `package`, and in `partitions` the compilation of each of its device partitions.
    """

    path: Path
    hw: HardwareConfig
    options: CompileOptions
    given: onnx.ModelProto | None = None
    source: Source | None = None
    model: ir.Model | None = None
    tail: Tail | None = None
    host: dict[str, str] = field(default_factory=dict)
    direct: DirectOutputs = field(default_factory=dict)
    tasks: TaskMasks = field(default_factory=TaskMasks)
    joint: Joint | None = None
    quantized: Quantized | None = None
    graph: Graph | None = None
    planned: ProgramPlan | None = None
    program: Program | None = None
    package: Package | None = None
    partitions: list[Compilation] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def read(self) -> Source:
        """The ONNX model with all of its constants, which a compilation keeps only as it changes them.

        Raises:
            ModelError: it cannot be read, or is not valid.
        """
        source = load_model(self.given if self.given is not None else self.path, self.options, str(self.path))
        return Source.of(from_qonnx(source.whole), str(self.path)) if uses_qonnx(source.light) else source

    @property
    def qdq(self) -> onnx.ModelProto:
        """The QDQ model as ONNX.

        Raises:
            ModelError: nothing is quantized yet.
        """
        if self.quantized is None:
            raise ModelError("the model is not quantized yet; run the passes up to 'quantize'")
        return self.quantized.qdq


@dataclass(frozen=True)
class Pass:
    """One stage: `run` changes the compilation, `dump` writes its result as text or ONNX bytes.

    `on_graph`: it works on the device graph, whose operations and tensors refer to each other and stay. Python's
    collector would go through all of them again and again, which took most of the time of a large one.
    """

    name: str
    run: Callable[[Compilation], None]
    dump: Callable[[Compilation], bytes]
    on_graph: bool = False


def run_passes(
    passes: tuple[Pass, ...],
    state: Compilation,
    on_dump: Callable[[Path, bytes], None],
    on_progress: Callable[[str], None],
) -> None:
    """Run the passes in order; `on_dump` gets file and bytes of what was asked for.

    NumPy's products are small and many. Threads of BLAS that wait for each other cost them up to 100 times their time
    beside other work (four layers of RDT-1B: 209 s instead of 79 s), so there is one. ONNX Runtime has its own threads.
    """
    for p in passes:
        on_progress(p.name)
        start = time.perf_counter()
        try:
            with threadpool_limits(1, "blas"), _without_collector() if p.on_graph else nullcontext():
                p.run(state)
        finally:
            state.seconds[p.name] = state.seconds.get(p.name, 0.0) + time.perf_counter() - start
        target = state.options.dump_after.get(p.name)
        if target is not None:
            on_dump(target, p.dump(state))


@contextmanager
def _without_collector() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on and not gc.get_freeze_count():
            gc.freeze()  # the collector is due, and would go through all that was made; so that is old at once
            gc.unfreeze()
        if was_on:
            gc.enable()
