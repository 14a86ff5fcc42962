"""Conformance of both backends, whole suites: every case against the slow reference, failing ids in the message.

T0 and T1 (encodings, directed cases), T2 (random programs, each also in another legal schedule), T3 (graphs of one
operator, compiled by vlac) and T4 (packets of all five queues at once).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vla_isa import hardware, hazards
from vla_isa.encoding import decode
from vla_isa.instructions import TABLE
from vla_isa.packet import QUEUES, Packet
from vla_toolchain.conformance import graph_cases
from vla_toolchain.conformance.graph_cases import GRAPHS
from vla_toolchain.conformance.suites import SUITES
from vlac.ops import OPS
from vlarun import execute
from vlarun.backends import RtlBackend, SimBackend
from vlarun.backends.rtl import RtlOptions
from vlarun.conformance import directed_cases, limit_cases, parallel_cases, runner
from vlarun.conformance.runner import Choice, Outcome
from vlarun.memory import Machine
from vlarun.native import steps

SLOW = pytest.mark.slow


def failures(outcome: Outcome) -> str:
    """Failing ids and what is wrong with each, one per line."""
    return "\n".join(f"{r.id}: {r.problem}" for r in outcome.results if r.problem)


def assert_passes(choice: Choice, least: int) -> None:
    outcome = runner.run(choice, SUITES)
    assert len(outcome.results) >= least
    assert not failures(outcome), f"{choice.backend} {choice.config}:\n{failures(outcome)}"


@pytest.mark.parametrize("config", ["tiny", pytest.param("u50", marks=SLOW)])
def test_sim(config: str) -> None:
    assert_passes(Choice("sim", config, ("T0", "T1")), 700)


@pytest.mark.slow
@pytest.mark.parametrize("stalls", ["off", "random"])
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_rtl(config: str, stalls: str) -> None:
    assert_passes(Choice("rtl", config, ("T0", "T1"), stalls), 700)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "config", "stalls", "programs", "seed"),
    [
        ("sim", "tiny", "off", 200, 0),
        ("sim", "u50", "off", 25, 1),
        ("rtl", "tiny", "off", 200, 0),
        ("rtl", "tiny", "random", 50, 2),
        ("rtl", "u50", "off", 60, 5),
        ("rtl", "u50", "random", 60, 3),
        ("rtl", "u50-2port", "off", 10, 4),
    ],
)
def test_random_programs(backend: str, config: str, stalls: str, programs: int, seed: int) -> None:
    assert_passes(Choice(backend, config, ("T2",), stalls, programs, seed), 2 * programs)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_packets_of_all_queues_at_once_are_not_ordered(config: str) -> None:
    """About 150 of them; nothing that one writes is touched by another."""
    hw = hardware.load(config)
    for seed in range(3):
        program = parallel_cases.parallel_program(np.random.default_rng(seed), hw)
        hazards.check(program)
        heap = program.heaps[0].data
        packets = [decode(heap[at : at + 64]) for at in range(0, len(heap), 64)]
        loose = [p for p in packets if not p["wait"] and not p["signal"]]
        assert len(loose) > 100 and {p.queue for p in loose} >= set(QUEUES)


@pytest.mark.slow
@pytest.mark.parametrize("stalls", ["off", "random"])
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_all_queues_at_once(config: str, stalls: str) -> None:
    programs = {"tiny": 200, "u50": 60}[config]
    assert_passes(Choice("rtl", config, ("T4",), stalls, programs, seed=8), programs // runner.PARALLEL)


def test_every_instruction_with_operands_has_directed_cases_and_sizes() -> None:
    """The sizes of COPY are in limit_moves.py."""
    names = {i.name for i in TABLE if i.operands is not None}
    assert set(directed_cases.DIRECTED) == names == {*limit_cases.SIZES, "COPY"}


def test_every_operator_has_a_graph_of_its_own() -> None:
    """Float models alone have LRN, GRU, LSTM and RNN, as steps of other operators; ONNX infers no shape of
    GroupNormalization; TensorScatter reads integers; TopK and ScatterElements are taken as the gates of experts alone
    (tests/compiler/sequence/test_gates.py).
    """
    without = {"LRN", "GRU", "LSTM", "RNN", "GroupNormalization", "TensorScatter", "TopK", "ScatterElements"}
    assert {s.name for s in OPS} == {g.operator for g in GRAPHS} | without
    assert all(g.operator in [s.operator for s in g.steps] for g in GRAPHS)
    ids = [graph_cases.case_id(g) for g in GRAPHS]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_graphs_of_one_operator(config: str) -> None:
    """Compiled once, on sim, and on rtl with and without stalls."""
    cases = runner.collect(Choice("sim", config, ("T3",)), SUITES)
    assert len(cases) == len(GRAPHS)
    backends = (SimBackend(), RtlBackend(), RtlBackend(RtlOptions(stall_percent=30, stall_seed=6)))
    found = {(c.id, number): runner.check(c, b) for c in cases for number, b in enumerate(backends)}
    assert not {key: problem for key, problem in found.items() if problem}


def test_graphs_on_sim_in_short() -> None:
    assert_passes(Choice("sim", "tiny", ("T3",), match="Conv."), 10)


def test_graphs_that_a_small_config_cannot_take_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    small = replace(hardware.load("tiny"), weight_words=256)
    assert [c.id for c in graph_cases.cases(small, "T3.Conv.k")] == []
    assert "T3.Conv.kernel.17 is left out: Conv" in capsys.readouterr().err
    assert [c.id for c in graph_cases.cases(small, "T3.Conv.1x1")] == ["T3.Conv.1x1"]


def test_the_kit_does_not_load_the_compiler() -> None:
    code = "import sys, vla_toolchain.conformance.command; sys.exit(any(m.startswith('vlac') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_executor_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suites see an elementwise instruction whose clamp or zero point is one off."""
    right = execute.EXECUTORS["VEC"]
    monkeypatch.delitem(steps.MAKERS, "VEC")  # in numpy, between steps of the library

    def wrong(field: str) -> Callable[[Packet, Machine], None]:
        def execute_wrong(packet: Packet, machine: Machine) -> None:
            right(Packet(packet.instruction, {**packet.values, field: min(packet[field] + 1, 127)}), machine)

        return execute_wrong

    monkeypatch.setitem(execute.EXECUTORS, "VEC", wrong("hi"))
    outcome = runner.run(Choice("sim", "tiny", ("T1",), match="T1.vec"))
    assert not outcome.passed and "T1.vec." in failures(outcome)
    monkeypatch.setitem(execute.EXECUTORS, "VEC", wrong("out_zero"))
    outcome = runner.run(Choice("sim", "tiny", ("T3",), match="T3.Add.images"), SUITES)
    assert not outcome.passed and "T3.Add.images: data line" in failures(outcome)
    assert runner.run(Choice("sim", "tiny", ("T1",), match="T1.pool")).passed
