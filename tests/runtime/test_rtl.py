"""The rtl backend on the real Verilated `tiny` machine: same bits as sim, counters, options, watchdog."""

from __future__ import annotations

import numpy as np
import pytest
from hand_program import good_inputs, make_program

import vlarun
from vla_isa.errors import VlaError
from vlarun.backends import RtlBackend, SimBackend, run_once
from vlarun.backends.rtl import RtlOptions
from vlarun.compare import compare
from vlarun.conformance import runner
from vlarun.errors import MachineError
from vlarun.inputs import to_integers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rtl tiny")]


@pytest.fixture(scope="module")
def inputs() -> dict[str, np.ndarray]:
    return to_integers(make_program(), good_inputs())


@pytest.mark.parametrize(
    "options", [RtlOptions(), RtlOptions(latency=1, outstanding=1), RtlOptions(stall_percent=60, stall_seed=3)]
)
def test_every_memory_equals_sim(options: RtlOptions, inputs: dict[str, np.ndarray]) -> None:
    difference = compare(make_program(), (SimBackend(), RtlBackend(options)), inputs)
    assert difference is None, difference.message(("sim", "rtl"))


def test_counters_and_stats() -> None:
    session = vlarun.Session(make_program(), backend="rtl")
    session.run(good_inputs())
    stats = session.stats
    assert stats["cycles_from"] == "machine" and stats["counters"]["packets"] == 6
    assert session.result is not None and session.result.halt_code == 4
    read = make_program().inputs[0].layout.lines * 64
    assert stats["hbm_read_bytes"] >= read and stats["hbm_write_bytes"] >= 5 * 48


def test_slower_memory_takes_longer(inputs: dict[str, np.ndarray]) -> None:
    cycles = [
        run_once(RtlBackend(o), make_program(), inputs).cycles
        for o in (RtlOptions(latency=4), RtlOptions(), RtlOptions(stall_percent=80))
    ]
    assert cycles[0] < cycles[1] < cycles[2]


def test_watchdog(inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(MachineError, match="not done after 50 cycles"):
        run_once(RtlBackend(RtlOptions(max_cycles=50)), make_program(), inputs)


def test_the_watchdog_knows_how_long_a_program_takes() -> None:
    program = make_program()
    cycles = RtlOptions().limit(program, None)
    assert 1_000_000 < cycles < 2_000_000
    assert RtlOptions(latency=1000).limit(program, None) > cycles
    assert RtlOptions(stall_percent=80).limit(program, None) > cycles
    assert RtlOptions(max_cycles=7).limit(program, None) == 7


def test_bad_options(inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(VlaError, match=r"stall_percent 0\.\.90"):
        run_once(RtlBackend(RtlOptions(stall_percent=99)), make_program(), inputs)


def test_error_status() -> None:
    outcome = runner.run(runner.Choice(backend="rtl", config="tiny", suites=("T0",), match="T0.limit.conv.in_"))
    assert [r for r in outcome.results if r.problem] == []
    assert len(outcome.results) > 5
