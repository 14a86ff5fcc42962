"""Random networks: legal programs, every node as ONNX Runtime computes it, the same bytes on `rtl`.

A small scratchpad makes most of them stream.
"""

from dataclasses import replace

import pytest
from parity import check_rtl, run_parity
from random_graphs import random_graph

from vla_isa import hazards
from vla_isa.hardware import load

FEW, MORE, MANY = range(12), range(12, 52), range(12, 112)
# enough weight words for every head, too few activation words for most images
SMALL = replace(load("tiny"), name="small", act_words=4096, param_words=256)


@pytest.mark.parametrize("seed", FEW)
def test_random_graph(seed):
    outcome = run_parity(random_graph(seed), "tiny", calib="random:2", seed=seed)
    hazards.check(outcome.state.program)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_random_graph_on_rtl(seed):
    outcome = run_parity(random_graph(seed), "tiny", calib="random:2", seed=seed)
    check_rtl(outcome.state, outcome.inputs)


@pytest.mark.parametrize("seed", FEW)
def test_random_graph_with_a_small_scratchpad(seed):
    run_parity(random_graph(seed), SMALL, calib="random:2", seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MORE)
def test_more_random_graphs_with_a_small_scratchpad(seed):
    run_parity(random_graph(seed), SMALL, calib="random:2", seed=seed)
