"""Published cycle counts on the Verilog machine with the reference memory: within the targets, and reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from cycles import TARGETS
from prepare import compile_graph, random_inputs

from vla_isa.program import Program
from vlarun.backends import RtlBackend, SimBackend
from vlarun.inputs import check_inputs, to_integers

pytestmark = pytest.mark.slow


def quantized(program: Program, seed: int) -> dict[str, np.ndarray]:
    return to_integers(program, next(check_inputs(program, random_inputs(program, seed)).items()))


@pytest.mark.parametrize(("config", "graph"), [(config, graph) for config, some in TARGETS.items() for graph in some])
def test_target(config: str, graph: str) -> None:
    """Within the target; the count depends on neither the run nor the data; the bytes are those of sim."""
    program = compile_graph(graph, config)
    first = RtlBackend().run(program, quantized(program, 0))
    assert first.cycles <= TARGETS[config][graph]
    other = quantized(program, 1)
    second = RtlBackend().run(program, other)
    assert second.counters == first.counters
    sim = SimBackend().run(program, other)
    for name, array in sim.outputs.items():
        assert np.array_equal(array, second.outputs[name]), name
