"""Rescheduling: another legal program with the same work in every queue, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from isa_programs import changed, decoded, pipeline, program_of, with_packets

from vla_isa import hazards
from vla_isa.encoding import make_packet
from vla_isa.errors import HazardError
from vla_isa.packet import Packet
from vla_isa.schedules import reschedule


def work(packets: list[Packet]) -> dict[str, list[Packet]]:
    """What each queue does, semaphores apart."""
    queues: dict[str, list[Packet]] = {}
    for p in packets:
        queues.setdefault(p.queue, []).append(changed(p, wait=0, signal=0))
    return queues


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_same_work_other_schedule(config: str) -> None:
    program = pipeline(config)
    seen = set()
    for seed in range(40):
        other = reschedule(program, seed)
        hazards.check(other)
        assert work(decoded(other)) == work(decoded(program))
        assert [decoded(other)[s.packet].name for s in other.sources] == ["CONV"] * len(program.sources)
        assert reschedule(program, seed).heaps == other.heaps
        seen.add(other.heaps[0].data)
    assert len(seen) > 30


def test_order_and_semaphores_both_vary() -> None:
    program = pipeline()
    others = [decoded(reschedule(program, seed)) for seed in range(20)]
    assert len({tuple(p.name + p.queue for p in words) for words in others}) > 5
    assert len({tuple(p["wait"] for p in words if p.queue == "mac") for words in others}) > 5


def test_rescheduling_again_stays_legal() -> None:
    program = pipeline()
    for seed in range(5):
        program = reschedule(program, seed, extra=0.5)
    assert work(decoded(program)) == work(decoded(pipeline()))


def test_refusals() -> None:
    program = pipeline()
    with pytest.raises(HazardError, match="one entry point"):
        reschedule(replace(program, entries={"a": 0, "b": 1}), 0)
    with pytest.raises(HazardError, match="one entry point"):
        reschedule(with_packets(program, [*decoded(program), make_packet("HALT")]), 0)
    fill = make_packet("COPY", move=2, n0=1, n1=1, n2=1, n3=1)
    store = make_packet("COPY", move=5, dst=3000, n0=1, n1=1, n2=1, n3=1)
    with pytest.raises(HazardError, match="nothing orders them"):
        reschedule(program_of(program.config, [fill, store, make_packet("HALT")]), 0)
