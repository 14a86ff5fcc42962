"""Conformance of both backends, whole suites: every case against the slow reference, failing ids in the message.

T0 and T1 (encodings, directed cases) and T2 (random programs, each also in another legal schedule).
"""

from __future__ import annotations

import pytest

from vla_isa.encoding import Packet
from vlarun import execute
from vlarun.conformance import runner
from vlarun.conformance.runner import Choice, Outcome
from vlarun.memory import Machine

SLOW = pytest.mark.slow


def failures(outcome: Outcome) -> str:
    """Failing ids and what is wrong with each, one per line."""
    return "\n".join(f"{r.id}: {r.problem}" for r in outcome.results if r.problem)


def assert_passes(choice: Choice, least: int) -> None:
    outcome = runner.run(choice)
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
        ("rtl", "u50", "random", 25, 3),
        ("rtl", "u50-2port", "off", 10, 4),
    ],
)
def test_random_programs(backend: str, config: str, stalls: str, programs: int, seed: int) -> None:
    assert_passes(Choice(backend, config, ("T2",), stalls, programs, seed), 2 * programs)


def test_a_wrong_executor_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite sees an elementwise instruction whose clamp is one too high."""
    right = execute.EXECUTORS["VEC"]

    def wrong(packet: Packet, machine: Machine) -> None:
        right(Packet(packet.instruction, {**packet.values, "hi": min(packet["hi"] + 1, 127)}), machine)

    monkeypatch.setitem(execute.EXECUTORS, "VEC", wrong)
    outcome = runner.run(Choice("sim", "tiny", ("T1",), match="T1.vec"))
    assert not outcome.passed and "T1.vec." in failures(outcome)
    assert runner.run(Choice("sim", "tiny", ("T1",), match="T1.pool")).passed
