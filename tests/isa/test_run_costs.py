"""Costs of a run are made when they are asked for, and what packets touch is kept of a few."""

from __future__ import annotations

import pytest
from isa_programs import pipeline

from vla_isa import run_costs, timing
from vla_isa.cost import REFERENCE, Touches
from vla_isa.engine_cycles import packet_cost
from vla_isa.trace import walk


def test_a_run_whose_packets_are_forgotten_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    program = pipeline("u50")
    whole, made = timing.estimate(program), []
    monkeypatch.setattr(run_costs, "packet_cost", lambda *given: (made.append(given), packet_cost(*given))[1])
    assert timing.estimate(program) == whole
    once = len(made)
    monkeypatch.setattr(run_costs, "_KEPT", 1)
    assert timing.estimate(program) == whole
    assert len(made) - once > once, "packets were made again"


def test_each_packet_has_its_own_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_costs, "_KEPT", 3)
    program = pipeline()
    costs, wanted = run_costs.RunCosts(program.config, REFERENCE), []
    for step in walk(program, 0):
        costs.add(step)
        wanted.append(packet_cost(step.packet, program.config, step.params, REFERENCE))
    assert [costs[index] for index in range(len(wanted))] == wanted == costs.plain()
    assert all(cost.touches == Touches() for cost in costs._plain.values())
    assert len(costs._last) == 3
