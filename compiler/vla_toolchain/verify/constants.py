"""`vlac compile --verify` with `--constants`: the program that takes every input, node by node, and beside it the
program, or the entry points, whose inputs are constants; on samples with these values, bit for bit.

Not here: how nodes are compared (`nodes.py`), what is computed of constants (`vlac/legalize/constant_inputs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from vla_isa.program import Program
from vla_toolchain.verify.nodes import NodeCheck, compared_reals, joined
from vla_toolchain.verify.program import SAMPLES, Verification, verify
from vla_toolchain.verify.reference import random_inputs
from vlac.api import compile_file
from vlac.passes import Compilation
from vlarun.session import Session

__all__ = ["verify_constants"]


def verify_constants(
    program: Program, parts: Mapping[str, Compilation], on_progress: Callable[[str], None]
) -> Verification:
    """What was found of the model, and of each entry point, whose outputs are called ENTRY: OUTPUT.

    Args:
        program: of the entry points, or of the only one, which is called ''.
        parts: the compilation of each, with its constants.

    Raises:
        ModelError: ONNX Runtime cannot run a model that a program is compared with.
    """
    first = next(iter(parts.values()))
    options = replace(first.options, constants={}, dump_after={})
    whole = compile_file(first.given or first.path, first.hw, options, on_progress)
    found = verify(whole, on_progress)
    assert whole.quantized is not None and whole.program is not None
    samples = [*whole.quantized.held_out, *whole.quantized.samples][:SAMPLES]
    samples = samples or [random_inputs(whole.qdq, seed) for seed in range(SAMPLES)]
    taking, fixed = Session(whole.program), Session(program)
    checks: list[list[NodeCheck]] = []
    for name, part in parts.items():
        entry = name or None
        names = {v.name for v in program.at(entry).model_inputs}
        for sample in samples:
            wanted = taking.run({**sample, **part.options.constants})
            run = fixed.run({n: a for n, a in sample.items() if n in names}, entry=entry)
            each = compared_reals(whole.program, wanted, run)
            checks.append([replace(c, name=f"{name}: {c.name}" if name else c.name) for c in each])
    found.constants = joined(checks)
    return found
