"""`vlac compile --verify` of several graphs: each node by node on its own calibration data, then all in their program.

A graph is judged as it is in the program: with the scales that it shares with the others, on the state on which it was
calibrated. Then the program runs its entry points in the order in which they hand state on, beside the programs of the
graphs alone, whose state goes from hand to hand.

Not here: how nodes are compared (`nodes.py`), how graphs become one program (`vlac/emit/link.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vla_isa.files import write_whole
from vla_isa.program import Program
from vla_toolchain.verify.nodes import NodeCheck, compared_reals, joined
from vla_toolchain.verify.program import SAMPLES, Verification, verify
from vla_toolchain.verify.reference import Arrays, random_inputs
from vlac.graphs import CompiledGraphs
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES
from vlarun.session import Session

__all__ = ["verify_graphs"]

_QUANTIZED = 3  # passes up to then


def verify_graphs(made: CompiledGraphs, on_progress: Callable[[str], None]) -> dict[str, Verification]:
    """What was found of each entry point.

    Raises:
        ModelError: ONNX Runtime cannot run a model that a program is compared with.
    """
    found = {}
    for name, part in made.parts.items():
        on_progress(f"{name}: verify")
        found[name] = verify(part, lambda step: None, _probed(part))
    on_progress("verify the program")
    for name, checks in _linked(made).items():
        found[name].linked = checks
    return found


def _probed(part: Compilation) -> Compilation:
    """The quantized graph compiled once more, with every tensor returned."""
    probed = replace(part, options=replace(part.options, debug_outputs=True, dump_after={}), seconds={})
    run_passes(PASSES[_QUANTIZED:], probed, write_whole, lambda step: None)
    return probed


def _linked(made: CompiledGraphs) -> dict[str, list[NodeCheck]]:
    """Outputs of each entry point of the program beside those of its graph alone; equal, or linking is wrong."""
    session = Session(made.program)
    alone = {name: Session(part.program) for name, part in made.parts.items() if part.program is not None}
    samples = {name: _samples(part) for name, part in made.parts.items()}
    found: dict[str, list[list[NodeCheck]]] = {name: [] for name in made.parts}
    for number in range(max(map(len, samples.values()))):
        session.forget()
        results: dict[str, Arrays] = {}
        for name in _order(made.program):
            view = made.program.at(name)
            given = samples[name][number % len(samples[name])]
            taken = {c.model_input: results[c.entry][c.model_output] for c in view.carried if c.entry is not None}
            mine = {v.name: given[v.name] for v in view.model_inputs if v.name in given and v.name not in taken}
            alone[name].forget()
            results[name] = alone[name].run({**mine, **taken})
            run = session.run(mine, entry=name)
            found[name].append(compared_reals(view, results[name], run))
    return {name: joined(checks) for name, checks in found.items()}


def _samples(part: Compilation) -> Sequence[Arrays]:
    """Some that the graph was not calibrated with, and some that it was; random numbers where there are none."""
    assert part.quantized is not None
    given = [*part.quantized.held_out, *part.quantized.samples][:SAMPLES]
    return given or [random_inputs(part.qdq, seed) for seed in range(SAMPLES)]


def _order(program: Program) -> list[str]:
    """The entry points, each behind those whose state it takes."""
    left = {name: {c.entry for c in program.at(name).carried if c.entry is not None} for name in program.entries}
    found: list[str] = []
    while left:
        name = next(name for name, before in left.items() if before <= set(found))
        found.append(name)
        del left[name]
    return found
