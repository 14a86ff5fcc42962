"""Published cycles of transformer blocks by the performance model: within the targets."""

from pathlib import Path

import pytest
from block_shapes import FLOWS
from transformer_cycles import SHAPES, flow, measure, reached

from vla_isa import timing

PAGE = Path(__file__).resolve().parents[3] / "benchmarks" / "README.md"
LONG = {"siglip_so400m": pytest.mark.slow}


def published():
    """Cycles that one more block costs, from the table of the page."""
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    return {r[0]: int(r[4].replace(",", "")) for r in rows if r and r[0] in {*SHAPES, *FLOWS}}


@pytest.mark.parametrize("name", [pytest.param(n, marks=LONG.get(n, ())) for n in SHAPES if n in published()])
def test_a_block_is_within_its_target(name):
    row = measure(name)
    assert reached(row), row
    assert row["more"] <= published()[name], "python benchmarks/transformer_cycles.py"


@pytest.mark.parametrize("name", FLOWS)
def test_a_whole_sampler_takes_no_more_than_published(name):
    pytest.importorskip("torch")
    assert timing.estimate(flow(name)).total_cycles <= published()[name], "python benchmarks/transformer_cycles.py"
