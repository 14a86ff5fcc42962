"""Wait and signal masks: one semaphore per ordered pair of queues that conflict.

For each packet and each other queue, the latest packet of that queue whose accesses conflict with it must be
complete. It is waited for unless an earlier wait implies it. Along a pair of queues the awaited packets
are strictly later each time, so the k-th wait pairs with the k-th signal without any filler.

Where more pairs conflict than there are semaphores, the pairs with the fewest waits have none: a COPY of no words on a
third queue waits for the one packet and is waited for by the other.

A queue that waits for none of another's packets may be so far ahead that a semaphore between them counts more signals
than it holds: then some of its packets wait for the other queue's, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from vla_isa.access import Access
from vla_isa.encoding import make_packet
from vla_isa.errors import HazardError
from vla_isa.footprint import footprint
from vla_isa.generated.codes import LARGEST_COUNT, SEMAPHORES, Move
from vla_isa.hardware import HardwareConfig
from vla_isa.intervals import Intervals
from vla_isa.packet import QUEUES, Packet

__all__ = ["Ordered", "assign_semaphores"]

_Clock = dict[str, int]  # queue -> number of its packets known to be complete
_Pair = tuple[str, str]  # of queues: what is waited for, what waits
_Touch = tuple[str, bool, int, int, Intervals]  # of an access: space, whether written, first word, last one + 1, words
_Held = Mapping[tuple[int, str], int]  # packet and queue -> the packet of that queue that it waits for, both as given
# a COPY of no words on each queue that has COPYs
_EMPTY = {"load": Move.FILL_ACT, "wload": Move.WEIGHT_TO_WEIGHT, "store": Move.ACT_TO_DATA}


@dataclass(frozen=True)
class Ordered:
    """A packet with its masks; `given` is its number in what was given, or that of the packet it only orders."""

    packet: Packet
    given: int
    relays: bool = False


def assign_semaphores(packets: list[Packet], hw: HardwareConfig) -> list[Ordered]:
    """The packets with wait and signal masks, and what has to be put between them; packets of fetch get none.

    Raises:
        HazardError: more ordered pairs of queues than semaphores, and no third queues for enough of them.
    """
    accesses = [[_touch(a) for a in footprint(p, hw)] for p in packets]
    ways: dict[_Pair, str] = {}
    held: dict[tuple[int, str], int] = {}
    while True:
        order = _Order(packets, accesses, ways, held)
        if len(order.pairs) > SEMAPHORES and not ways:
            ways = _ways(order.waited)
        elif ahead := {wait: to for wait, to in order.ahead() if wait not in held}:
            held |= ahead
        else:
            return order.result()


def _touch(access: Access) -> _Touch:
    words = access.words
    return access.space, access.write, int(words[0, 0]), int(words[-1, 1]), words


def _ways(waited: Counter[_Pair]) -> dict[_Pair, str]:
    """Third queues for as many pairs, those with few waits, as there are too many.

    Raises:
        HazardError: there are not enough.
    """
    ways: dict[_Pair, str] = {}
    kept, needed = set(waited), set[_Pair]()
    for pair in sorted(waited, key=lambda p: waited[p]):
        if len(kept) <= SEMAPHORES:
            return ways
        first, last = pair
        found = next((q for q in _EMPTY if {(first, q), (q, last)} <= kept), None)
        if pair not in needed and found is not None:
            ways[pair] = found
            kept.remove(pair)
            needed |= {(first, found), (found, last)}
    if len(kept) <= SEMAPHORES:
        return ways
    raise HazardError(
        f"the program orders {len(waited)} pairs of queues, more than the {SEMAPHORES} semaphores, and for only "
        f"{len(ways)} of them a third queue can stand between"
    )


@dataclass
class _Entry:
    """A packet on its way out."""

    packet: Packet
    given: int
    accesses: list[_Touch]
    relays: bool = False
    clock: _Clock = field(default_factory=dict)  # what is complete when it starts
    wait: int = 0
    signal: int = 0


@dataclass(frozen=True)
class _Rounds:
    """A loop: the SET that its body starts with, the one in front of it, and each queue's last packet in front."""

    start: _Entry
    front: list[_Entry]
    before: dict[str, _Entry]


class _Order:
    """All packets in order; `ways` are pairs of queues that a third one orders, `held` are waits besides conflicts."""

    def __init__(
        self, packets: list[Packet], accesses: list[list[_Touch]], ways: dict[_Pair, str], held: _Held
    ) -> None:
        self.ways, self.held = ways, held
        self.pairs: dict[_Pair, int] = {}
        self.waited: Counter[_Pair] = Counter()
        self.entries: list[_Entry] = []
        self.by_queue: dict[str, list[_Entry]] = {q: [] for q in QUEUES}
        self.done: _Clock = {}  # what fetch has waited for: complete for all that follows
        self.rounds: _Rounds | None = None  # whose end has not come
        for number, (packet, touched) in enumerate(zip(packets, accesses, strict=True)):
            entry = _Entry(packet, number, touched)
            if packet.queue in self.by_queue:
                self._order(entry)
            elif packet.name == "SET" and self.entries and self.entries[-1].packet.name == "LOOP":
                self.rounds = _Rounds(entry, self.entries[-2:-1], {q: e[-1] for q, e in self.by_queue.items() if e})
            elif packet.name == "SET":
                self._complete(entry)
                if self.rounds is not None and not entry.accesses:
                    self._close(self.rounds, entry)
            self._put(entry)

    def result(self) -> list[Ordered]:
        return [
            Ordered(
                Packet(e.packet.instruction, {**e.packet.values, "wait": e.wait, "signal": e.signal}), e.given, e.relays
            )
            for e in self.entries
        ]

    def ahead(self) -> Iterator[tuple[tuple[int, str], int]]:
        """Waits that keep every semaphore from counting too far, where one may."""
        numbers = {id(entry): number for number, entry in enumerate(self.entries)}
        for (first, last), bit in self.pairs.items():
            if last not in self.by_queue:  # fetch, which runs ahead of nothing
                continue
            signals = [e for e in self.by_queue[first] if e.signal >> bit & 1]
            waits = [n for n, e in enumerate(self.by_queue[last]) if e.wait >> bit & 1]
            taken = [bisect_right(waits, e.clock.get(last, 0) - 1) for e in signals]  # surely, when each signals
            if all(count - less <= LARGEST_COUNT for count, less in enumerate(taken, 1)):
                continue
            placed = [numbers[id(self.by_queue[last][n])] for n in waits]
            known = 0
            for count, (entry, less) in enumerate(zip(signals, taken, strict=True), 1):
                known = max(known, less)
                before = bisect_right(placed, numbers[id(entry)])  # of the waits, those in front of the signal
                if count - known > LARGEST_COUNT * 3 // 4 and before > known and not entry.relays:
                    known = before
                    yield (entry.given, last), self.by_queue[last][waits[before - 1]].given

    def _put(self, entry: _Entry) -> None:
        self.entries.append(entry)
        if entry.packet.queue in self.by_queue:
            self.by_queue[entry.packet.queue].append(entry)

    def _complete(self, entry: _Entry) -> None:
        """Let fetch wait for what makes the item that it takes, or, where it takes none, for all dispatched before."""
        entry.clock = dict(self.done)
        last = {queue: len(self.by_queue[queue]) - 1 for queue in QUEUES}
        if entry.accesses:
            last = {q: _last_conflict(entry, self.by_queue[q], entry.clock.get(q, 0)) for q in QUEUES}
        relayed = [(last[q], q) for q in QUEUES if last[q] >= 0 and (q, entry.packet.queue) in self.ways]
        self._relays(entry, relayed)
        for queue in sorted(QUEUES, key=lambda q: -self.by_queue[q][last[q]].given if last[q] >= 0 else 0):
            if last[queue] >= entry.clock.get(queue, 0):
                self._wait(entry, queue, last[queue])
        self.done = dict(entry.clock)

    def _close(self, rounds: _Rounds, end: _Entry) -> None:
        """Let every round begin with the wait of the end, where all queues that it is for can signal in front too."""
        self.rounds = None
        queues = [q for (q, waiting), bit in self.pairs.items() if waiting == end.packet.queue and end.wait >> bit & 1]
        if not all(q in rounds.before for q in queues):
            return
        rounds.start.wait = end.wait
        for queue in queues:
            rounds.before[queue].signal |= 1 << self.pairs[queue, end.packet.queue]
        for front in rounds.front:  # the first round begins with what it would wait for
            front.wait &= ~end.wait

    def _order(self, entry: _Entry) -> None:
        queue = entry.packet.queue
        earlier = self.by_queue[queue]
        known = earlier[-1].clock if earlier else {}
        entry.clock = {q: max(known.get(q, 0), self.done.get(q, 0)) for q in QUEUES}
        others = [q for q in QUEUES if q != queue]
        wanted = [(max(self._held(entry, q), self._conflict(entry, q)), q) for q in others]
        numbered = [(position, q) for position, q in wanted if position >= 0]
        # the nearest first: waiting for it may imply the others
        numbered.sort(key=lambda w: -self.by_queue[w[1]][w[0]].given)
        self._relays(entry, numbered)
        for position, other in numbered:
            if position >= entry.clock.get(other, 0):
                self._wait(entry, other, position)

    def _conflict(self, entry: _Entry, queue: str) -> int:
        return _last_conflict(entry, self.by_queue[queue], entry.clock.get(queue, 0))

    def _held(self, entry: _Entry, queue: str) -> int:
        """Position of the packet that a packet waits for besides, -1 for none."""
        wanted = self.held.get((entry.given, queue))
        known, others = entry.clock.get(queue, 0), self.by_queue[queue]
        return next((n for n in range(len(others) - 1, known - 1, -1) if others[n].given == wanted), -1)

    def _relays(self, entry: _Entry, numbered: list[tuple[int, str]]) -> None:
        """Let third queues wait for those packets that they stand for."""
        queue = entry.packet.queue
        for way in dict.fromkeys(self.ways[q, queue] for _, q in numbered if (q, queue) in self.ways):
            self._relay(entry, way, [(p, q) for p, q in numbered if self.ways.get((q, queue)) == way])

    def _relay(self, entry: _Entry, way: str, numbered: list[tuple[int, str]]) -> None:
        """Let a third queue wait for all that it stands for, and the packet for that: once, as it has one bit."""
        if all(position < entry.clock.get(other, 0) for position, other in numbered):
            return
        relay = _Entry(make_packet("COPY", move=_EMPTY[way]), entry.given, [], relays=True)
        before = self.by_queue[way]
        relay.clock = dict(before[-1].clock) if before else {}
        for position, other in numbered:
            if position >= relay.clock.get(other, 0):
                self._wait(relay, other, position)
        self._put(relay)
        self._wait(entry, way, len(self.by_queue[way]) - 1)

    def _wait(self, entry: _Entry, other: str, position: int) -> None:
        source = self.by_queue[other][position]
        queue = entry.packet.queue
        self.waited[other, queue] += 1
        bit = self.pairs.setdefault((other, queue), len(self.pairs))
        entry.wait |= 1 << bit
        source.signal |= 1 << bit
        for q, done in {**source.clock, other: position + 1}.items():
            entry.clock[q] = max(entry.clock.get(q, 0), done)


def _last_conflict(entry: _Entry, others: list[_Entry], known: int) -> int:
    """Position in `others` of the latest packet that conflicts with a packet, -1 for none after `known`."""
    for position in range(len(others) - 1, known - 1, -1):
        if _conflict(entry.accesses, others[position].accesses):
            return position
    return -1


def _conflict(a: list[_Touch], b: list[_Touch]) -> bool:
    for space, write, first, end, words in a:
        for other_space, other_write, other_first, other_end, other_words in b:
            if space != other_space or not (write or other_write) or first >= other_end or other_first >= end:
                continue
            if _overlap(words, other_words):
                return True
    return False


def _overlap(a: Intervals, b: Intervals) -> bool:
    """Whether two sets of disjoint sorted intervals share a word."""
    if len(a) > len(b):
        a, b = b, a
    after = np.searchsorted(b[:, 1], a[:, 0], side="right")
    inside = after < len(b)
    return bool((b[after[inside], 0] < a[inside, 1]).any())
