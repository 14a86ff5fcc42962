"""The performance model against the Verilog machine: networks within 0.25 %, layers within 0.5 %, traffic exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from prepare import compile_graph

from vla_isa import timing
from vla_isa.program import Program
from vla_isa.trace import walk
from vlarun.backends import RtlBackend, run_once
from vlarun.prefix import stop_before

NETWORK, LAYER = 0.0025, 0.005
LONG = 2000  # cycles of a layer that is long enough to be compared
GRAPHS = ("demo_policy", "three_convs", "gemm_4096", "mobilenet_block", "inception_block")

pytestmark = pytest.mark.slow


def measured(program: Program) -> dict[str, int]:
    """The machine's counters; values do not matter for timing."""
    zeros = {t.name: np.zeros(t.layout.shape, np.int8) for t in program.inputs}
    return run_once(RtlBackend(), program, zeros).counters


def layer_ends(program: Program) -> list[tuple[str, int]]:
    """ONNX nodes that compute, and the packet after their last one, in program order."""
    ends: dict[str, int] = {}
    nodes = {s.packet: s.node for s in program.sources}
    for step, following in pairwise(walk(program, next(iter(program.entries.values())))):
        if step.packet.queue in ("mac", "vec") and step.number in nodes:
            ends[nodes[step.number]] = following.number
    return sorted(ends.items(), key=lambda item: item[1])


def far(model: int, machine: int, limit: float) -> bool:
    return abs(model - machine) > limit * machine


@pytest.mark.parametrize("config", ["tiny", "u50", "u50-2port"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_network_and_layers(graph: str, config: str) -> None:
    program = compile_graph(graph, config)
    machine, model = measured(program), timing.estimate(program).counters
    assert not far(model["cycles"], machine["cycles"], NETWORK), (model["cycles"], machine["cycles"])
    for name in ("packets", "mac_busy", "act_conflict", "write_beats", "read_beats"):
        assert model[name] == machine[name], name
    if config == "u50-2port":
        return
    before = (0, 0)
    for node, number in layer_ends(program):
        part = stop_before(program, number)
        now = (timing.estimate(part).total_cycles, measured(part)["cycles"])
        model_span, machine_span = (now[i] - before[i] for i in range(2))
        assert machine_span < LONG or not far(model_span, machine_span, LAYER), (node, model_span, machine_span)
        before = now
