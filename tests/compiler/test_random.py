"""Random networks: legal programs, every node as ONNX Runtime computes it, the same bytes on `rtl`.

A small scratchpad makes most of them stream.
"""

from dataclasses import replace

import pytest
from parity import check_rtl, run_parity
from random_graphs import random_graph

from vla_isa import hazards
from vla_isa.hardware import load

FEW, MANY = range(12), range(12, 112)
# too few activation words for most images; of its seeds those that stream and whose flattened images fit
SMALL = replace(load("tiny"), name="small", act_words=2048, param_words=256)
STREAMED = (4, 9, 10, 12, 13, 15, 16, 19, 22, 26, 31, 32, 41, 45, 50, 51, 52, 55, 59)


@pytest.mark.parametrize("seed", FEW)
def test_random_graph(seed):
    outcome = run_parity(random_graph(seed), "tiny", calib="random:2", seed=seed)
    hazards.check(outcome.state.program)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_random_graph_on_rtl(seed):
    outcome = run_parity(random_graph(seed), "tiny", calib="random:2", seed=seed)
    check_rtl(outcome.state, outcome.inputs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", STREAMED)
def test_random_graph_with_a_small_scratchpad(seed):
    outcome = run_parity(random_graph(seed), SMALL, calib="random:2", seed=seed)
    assert outcome.state.plan.streamed
