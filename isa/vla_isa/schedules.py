"""Another legal schedule of the same computation: other interleaving of the queues, other semaphores.

The packets of each queue keep their order and their work; how the queues interleave in program order, which
packets signal and wait, and with which semaphores, are drawn from a seed. The result passes
`hazards.check` and, by the meaning of legality, computes the same bytes: a conformance test.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vla_isa import hazards
from vla_isa.encoding import decode, encode
from vla_isa.errors import HazardError
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import SEMAPHORES
from vla_isa.ordering import QUEUE_NAMES, WordHistory, queue_number
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vla_isa.trace import Step, packets, walk

__all__ = ["reschedule"]

Pair = tuple[int, int]  # signalling queue, waiting queue


@dataclass(frozen=True)
class _Node:
    """A packet and the earlier packets it must follow: the newest of each other queue, by node number."""

    step: Step
    queue: int
    needs: tuple[int, ...]


def reschedule(program: Program, seed: int, extra: float = 0.15) -> Program:
    """A legal program with the same result.

    Args:
        program: legal, with one entry point whose path covers every packet.
        seed: the same seed gives the same schedule.
        extra: probability that a packet waits for a packet it does not need.

    Raises:
        HazardError: the program is not legal, or has several entry points or unreachable packets, or the
            drawn schedule needs more than 16 semaphores or a count above 255.
    """
    hazards.check(program)
    steps = [s for entry in program.entries.values() for s in walk(program, entry)]
    total = sum(len(heap.data) for heap in program.heaps) // PACKET_BYTES
    if len(program.entries) != 1 or [s.number for s in steps] != list(range(total)):
        raise HazardError(
            "only a program with one entry point that executes its packets 0, 1, 2, ... once can be rescheduled"
        )
    rng = random.Random(seed)
    nodes = list(_dependencies(program, steps))
    order = _interleave(nodes, rng)
    masks = _synchronize(nodes, order, rng, extra)
    out = _rebuild(program, nodes, order, masks)
    hazards.check(out)
    return out


def _dependencies(program: Program, steps: list[Step]) -> Iterator[_Node]:
    history = WordHistory(hazards.followed_spaces(program))
    queues: list[list[int]] = [[] for _ in QUEUE_NAMES]
    nothing = np.zeros(len(QUEUE_NAMES), np.int64)
    for index, step in enumerate(steps):
        queue = queue_number(step.packet)
        needs = [c for access in step.accesses for c in history.conflicts(queue, access, nothing)]
        for access in step.accesses:
            history.record(queue, len(queues[queue]) + 1, access)
        queues[queue].append(index)
        yield _Node(step, queue, tuple({queues[c.queue][c.position - 1] for c in needs}))


def _interleave(nodes: list[_Node], rng: random.Random) -> list[int]:
    """A random order that respects needs, each queue's own order, and JUMP and HALT as barriers."""
    fetch = len(QUEUE_NAMES) - 1
    order: list[int] = []
    first = 0
    for barrier in (i for i, n in enumerate(nodes) if n.queue == fetch):
        waiting = [[i for i in range(first, barrier) if nodes[i].queue == q][::-1] for q in range(fetch)]
        placed = set(range(first))
        while any(waiting):
            ready = [q for q in waiting if q and placed.issuperset(nodes[q[-1]].needs)]
            chosen = rng.choice(ready)
            for _ in range(rng.randint(1, 4)):
                if chosen and placed.issuperset(nodes[chosen[-1]].needs):
                    placed.add(chosen[-1])
                    order.append(chosen.pop())
        order.append(barrier)
        first = barrier + 1
    return order


def _synchronize(nodes: list[_Node], order: list[int], rng: random.Random, extra: float) -> dict[int, tuple[int, int]]:
    """New (wait, signal) masks by node: per pair of queues one semaphore, its edges ascending."""
    numbers = list(range(SEMAPHORES))
    rng.shuffle(numbers)
    semaphore: dict[Pair, int] = {}
    signalled: dict[Pair, int] = {}  # the place in `order` of the last packet of the pair that signals
    place = {node: i for i, node in enumerate(order)}
    wait, signal = dict.fromkeys(order, 0), dict.fromkeys(order, 0)
    seen: list[list[int]] = [[] for _ in QUEUE_NAMES]

    def edge(source: int, target: int) -> None:
        pair = (nodes[source].queue, nodes[target].queue)
        if pair[0] == pair[1] or place[source] <= signalled.get(pair, -1):
            return
        if pair not in semaphore:
            if not numbers:
                raise HazardError(f"the schedule needs more than {SEMAPHORES} semaphores")
            semaphore[pair] = numbers.pop()
        signalled[pair] = place[source]
        wait[target] |= 1 << semaphore[pair]
        signal[source] |= 1 << semaphore[pair]

    for node in order:
        needs = list(nodes[node].needs)
        if rng.random() < extra:  # towards a pair that is in use, so that none runs out of semaphores
            queue = rng.choice([q for q in range(len(QUEUE_NAMES)) if q != nodes[node].queue])
            if seen[queue] and (queue, nodes[node].queue) in semaphore:
                needs.append(seen[queue][-1])
        # the newest need of each queue covers the older ones
        newest = {nodes[n].queue: n for n in sorted(needs, key=lambda n: place[n])}
        for source in newest.values():
            edge(source, node)
        seen[nodes[node].queue].append(node)
    return {node: (wait[node], signal[node]) for node in order}


def _rebuild(program: Program, nodes: list[_Node], order: list[int], masks: dict[int, tuple[int, int]]) -> Program:
    data, words = b"", packets(program)
    for node in order:
        packet = decode(words[nodes[node].step.number])  # with its index
        wait, signal = masks[node]
        data += encode(Packet(packet.instruction, {**packet.values, "wait": wait, "signal": signal}))
    heaps, at = [], 0
    for heap in program.heaps:
        heaps.append(Segment(heap.line, data[at : at + len(heap.data)]))
        at += len(heap.data)
    place = {node: i for i, node in enumerate(order)}
    sources = sorted((replace(s, packet=place[s.packet]) for s in program.sources), key=lambda s: s.packet)
    return replace(program, heaps=heaps, sources=sources, memory_map=[])
