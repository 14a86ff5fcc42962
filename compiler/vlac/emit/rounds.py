"""The packets of a repeated model: what runs once, a LOOP over what runs in every round, stores of kept state.

Every round begins when all packets of the one before are complete: fetch waits for them at a SET, whose register nobody
reads. So the semaphores of a round are its own. The SET is the first packet of a round, so that fetch goes back to the
start of the loop while the engines still work; at the end of a round it stands where a queue that it waits for has no
packet in front of the loop (`semaphores.py`). Weights and parameters of the rounds are loaded once in front, where
all of them fit, beside the loads of what else stays on chip.
Not here: which operations are in the rounds (`plan/rounds.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, zip_longest

from vla_isa.generated.codes import Move
from vla_isa.instructions.copy import COPY
from vla_isa.packet import Packet
from vlac.device.gather import COUNTER
from vlac.emit.prefetch import LOADS
from vlac.ir.packet import RelocatablePacket

__all__ = ["closed_loops", "with_rounds"]

_UNREAD = 3  # a register
_MOST_WORDS = COPY.limit("n0")
Loads = Callable[[list[RelocatablePacket]], list[RelocatablePacket]]


def with_rounds(
    ordered: list[RelocatablePacket], first_stage: int | None, stages: int, count: int, with_loads: Loads
) -> list[RelocatablePacket]:
    """All packets with their loads; from `first_stage` up to `stages` in `count` rounds."""
    if first_stage is None:
        return with_loads(ordered)
    once = [p for p in ordered if p.stage < first_stage]
    rounds = [p for p in ordered if first_stage <= p.stage < stages]
    behind = [p for p in ordered if p.stage >= stages]
    loop = RelocatablePacket("LOOP", {"n": 1, "count": count, "register": COUNTER}, op="rounds")
    body = with_loads(rounds)
    kept = [p for p in body if p.op in LOADS]
    if _overlap(kept) or any(p.values.get("index_enable") for p in kept):
        kept = []
    before = _beside(with_loads(once), _joined(kept))
    body = [p for p in body if p not in kept]
    in_front = [_all_complete()] if before else []
    return [*before, *in_front, loop, _all_complete(), *body, _all_complete(), *behind]


def _overlap(loads: list[RelocatablePacket]) -> bool:
    """Whether one takes words of another."""
    places = sorted((p.values["move"], p.values["dst"], p.values["dst"] + p.values["n0"]) for p in loads)
    return any(a[0] == b[0] and a[2] > b[1] for a, b in pairwise(places))


def _joined(loads: list[RelocatablePacket]) -> list[RelocatablePacket]:
    """Loads of weights that follow each other on both sides as one: each would wait for the memory anew."""
    found: list[RelocatablePacket] = []
    for load in loads:
        v, last = load.values, found[-1].values if found else {}
        alike = last and v["move"] == last["move"] == Move.WEIGHT_TO_WEIGHT
        if alike and not v.get("mask_enable") and not last.get("mask_enable"):
            words = last["n0"]
            if (last["src"] + words, last["dst"] + words) == (v["src"], v["dst"]) and words + v["n0"] <= _MOST_WORDS:
                found[-1] = replace(found[-1], values={**last, "n0": words + v["n0"]})
                continue
        found.append(load)
    return found


def _beside(once: list[RelocatablePacket], loads: list[RelocatablePacket]) -> list[RelocatablePacket]:
    """Loads among what comes behind the last packet with weights or parameters of its own, whose place they take."""
    own = [number for number, p in enumerate(once, 1) if p.weights is not None or p.owner >= 0 or p.op in LOADS]
    first = own[-1] if own else 0
    pairs = zip_longest(loads, once[first:])
    return [*once[:first], *(p for pair in pairs for p in pair if p is not None)]


def _all_complete() -> RelocatablePacket:
    return RelocatablePacket("SET", {"register": _UNREAD}, op="rounds")


def closed_loops(packets: list[Packet]) -> list[Packet]:
    """With the size of its body in a LOOP: up to the last SET that waits for all, or in front of it where the body's
    first SET waits for the round before.
    """
    ends = [number for number, p in enumerate(packets) if p.name == "SET" and p["register"] == _UNREAD]
    return [
        replace(p, values={**p.values, "n": ends[-1] - number - bool(packets[number + 1]["wait"])})
        if p.name == "LOOP"
        else p
        for number, p in enumerate(packets)
    ]
