"""Published cycles of transformer blocks: within the targets, and the performance model within 1 % of the machine."""

import re
from pathlib import Path

import pytest
from block_shapes import FLOWS
from prepare import compile_model
from transformer_cycles import SHAPES, blocks, estimated, flow, measure, on_verilog, reached

from vla_isa import timing

PAGE = Path(__file__).resolve().parents[3] / "benchmarks" / "README.md"
LONG = {"siglip_so400m": [pytest.mark.slow, pytest.mark.every_shape]}


def published(column):
    """Cycles of a column of the page's table, by block: 4 what one more costs, 7 one on the Verilog machine."""
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    return {r[0]: int(r[column].replace(",", "")) for r in rows if len(r) > column and r[0] in {*SHAPES, *FLOWS}}


@pytest.mark.parametrize("name", [pytest.param(n, marks=LONG.get(n, ())) for n in SHAPES if n in published(4)])
def test_a_block_is_within_its_target(name):
    row = measure(name)
    assert reached(row), row
    assert row["more"] <= published(4)[name], "python benchmarks/transformer_cycles.py"
    assert abs(row["cycles"] / published(7)[name] - 1) <= 0.01, "python benchmarks/transformer_cycles.py --rtl"


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in SHAPES if n in published(7) and n not in LONG])
def test_a_block_on_the_verilog_machine(name):
    program = compile_model(blocks(SHAPES[name], 1), "u50")
    assert on_verilog(program) == published(7)[name], "python benchmarks/transformer_cycles.py --rtl"


@pytest.mark.slow
@pytest.mark.every_shape
def test_a_denoising_step_takes_no_more_than_published():
    found = re.search(r"`rdt_170m` .*?: ([0-9,]+) cycles by the\s+model", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert estimated(SHAPES["rdt_170m"], 1, "u50") <= int(found[1].replace(",", ""))


@pytest.mark.parametrize("name", FLOWS)
def test_a_whole_sampler_takes_no_more_than_published(name):
    pytest.importorskip("torch")
    assert timing.estimate(flow(name)).total_cycles <= published(4)[name], "python benchmarks/transformer_cycles.py"
