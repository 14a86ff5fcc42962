"""Published cycle counts on the Verilog machine with the reference memory: within the targets, and reproducible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cycles import TARGETS
from graphs import GRAPHS
from prepare import compile_graph, random_inputs

from vla_isa import timing
from vla_isa.program import Program
from vlarun.backends import RtlBackend, SimBackend, run_once
from vlarun.inputs import check_inputs, to_integers

PAGE = Path(__file__).resolve().parents[2] / "benchmarks" / "README.md"


def published() -> list[tuple[str, str, int, int]]:
    """Config, graph, cycles on the Verilog machine and of the performance model, from the tables of the page."""
    rows, config = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## Speed"):
            break
        config = line.split("`")[1] if line.startswith("`") else config
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if cells and cells[0] in GRAPHS:
            cycles, _, model = cells[-5:-2]
            rows.append((config, cells[0], int(cycles.replace(",", "")), int(model.replace(",", ""))))
    return rows


@pytest.mark.parametrize(("config", "graph", "model"), [(c, g, m) for c, g, _, m in published()])
def test_the_published_cycles_of_the_model(config: str, graph: str, model: int) -> None:
    assert timing.estimate(compile_graph(graph, config)).total_cycles == model, "python benchmarks/cycles.py"


def quantized(program: Program, seed: int) -> dict[str, np.ndarray]:
    return to_integers(program, next(check_inputs(program, random_inputs(program, seed)).items()))


@pytest.mark.slow
@pytest.mark.parametrize(("config", "graph", "cycles"), [(c, g, n) for c, g, n, _ in published()])
def test_target(config: str, graph: str, cycles: int) -> None:
    """As published and within the target; the count depends on neither run nor data; the bytes are those of sim."""
    program = compile_graph(graph, config)
    first = run_once(RtlBackend(), program, quantized(program, 0))
    assert first.cycles == cycles <= TARGETS[config].get(graph, cycles)
    other = quantized(program, 1)
    second = run_once(RtlBackend(), program, other)
    assert second.counters == first.counters
    sim = run_once(SimBackend(), program, other)
    for name, array in sim.outputs.items():
        assert np.array_equal(array, second.outputs[name]), name
