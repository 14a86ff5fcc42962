"""The five queues and their engines in time: dispatch, semaphores, packets accepted, work side by side, done.

Events in the order of their cycles. Work that shares something goes on at the rate that the others leave
(`sharing.py`), which changes only where work begins or ends.
Not here: what a packet costs (`engine_cycles.py`), when fetch has it (`dispatch.py`).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

from vla_isa.cost import Cost, Timing
from vla_isa.dispatch import Dispatch
from vla_isa.generated.codes import SEMAPHORES
from vla_isa.ordering import QUEUE_NAMES, bits
from vla_isa.packet import Packet
from vla_isa.sharing import Sharing
from vla_isa.side_by_side import Use

__all__ = ["Queues", "Span"]

_FETCH = len(QUEUE_NAMES) - 1
_MAC = QUEUE_NAMES.index("mac")
_HELD = 2  # packets of an engine: one runs, one prepares
_READ = Cost(0, "memory", share=1.0, burst=16)  # of fetch
_READS = -1  # the index of its reads
_EPSILON = 1e-6  # of work, so that sums of rates end where they should
_NEVER = 1 << 62
_WEIGHT_WAYS = ("weights", "keys", "lines")  # only one of them writes the weight scratchpad


@dataclass
class Span:
    """When a packet took its semaphores, went into its engine, and was done."""

    take: int = -1
    give: int = -1
    done: int = -1


@dataclass
class _Queue:
    """Packets that wait, the head first, and those in the engine, the oldest first."""

    waiting: deque[int] = field(default_factory=deque)
    inside: deque[int] = field(default_factory=deque)
    full: bool = False  # dispatch stands in front of it
    asks: int = -1  # from when on the head may get the semaphores that it wants
    stuck: int = -1  # from when on the head has them and the engine has no place
    shadow: int = 0  # until when the engine prepares the last one, and takes no other
    settled: int = 0  # of those inside: their ends are known
    done: int = -1  # the end of the last one of them


@dataclass
class _Work:
    """What a packet does behind its setup; `left` at the time `since`."""

    index: int
    queue: int
    cost: Cost
    left: float
    since: int
    rate: float = 1.0
    expected: int = -1  # the event of its end


class Queues:
    """One run.

    Attributes:
        spans: of every packet, in program order; `done` is -1 where it was not reached.
    """

    def __init__(
        self, packets: Sequence[Packet], queues: Sequence[int], costs: Sequence[Cost], dispatch: Dispatch, depth: int,
        timing: Timing,
    ) -> None:  # fmt: skip
        self._packets, self._numbers, self._costs = packets, queues, costs
        self._dispatch, self._depth, self._timing = dispatch, depth, timing
        self.spans = [Span() for _ in packets]
        self._queues = [_Queue() for _ in QUEUE_NAMES]
        self._counts = [0] * SEMAPHORES
        self._granted = -2
        self._events: list[tuple[int, int, int, Callable[..., None], tuple[int, ...]]] = []
        self._order = 0
        self._next = 0  # packet at dispatch
        self._lines: dict[tuple[int, str], deque[int]] = {}  # of each path of a queue: packets that begin in order
        self._ready: dict[int, int] = {}  # when a packet's setup is over
        self._ended: dict[int, int] = {}  # whose work is done, but not they
        self._works: dict[int, _Work] = {}
        self._sharing = Sharing()
        self._looked = 0  # when one looks at rates again
        self._reads = 0

    def run(self) -> None:
        """Until nothing moves."""
        self._at(self._dispatch.begin(), self._leave)
        while self._events:
            time, _, _, action, arguments = heapq.heappop(self._events)
            action(time, *arguments)

    @property
    def stands(self) -> tuple[int, int] | None:
        """The first packet that waits for ever, and for which semaphore; None where the program ended."""
        heads = [q.waiting[0] for q in self._queues if q.asks >= 0]
        if self.spans[-1].done >= 0 or not heads:
            return None
        wanted = bits(self._packets[min(heads)]["wait"])
        return min(heads), next(s for s in wanted if not self._counts[s])

    def _at(self, time: int, action: Callable[..., None], *arguments: int, urgent: bool = False) -> None:
        self._order += 1
        heapq.heappush(self._events, (time, not urgent, self._order, action, arguments))

    # ---- dispatch ----

    def _leave(self, time: int) -> None:
        """The next packet is checked and has its index."""
        index, queue = self._next, self._queues[self._numbers[self._next]]
        if self._numbers[index] == _FETCH:
            queue.waiting.append(index)
            queue.asks = time + self._timing.semaphore - 1
            self._at(queue.asks, self._try, _FETCH)
            return
        if len(queue.waiting) == self._depth:
            queue.full = True
            return
        queue.waiting.append(index)
        if len(queue.waiting) == 1:
            self._head(time, self._numbers[index])
        self._follow(time)

    def _follow(self, time: int) -> None:
        """Behind the packet that left at `time` comes the next."""
        index, self._next = self._next, self._next + 1
        if self._next < len(self._packets):
            self._at(self._dispatch.after(index, time), self._leave)
        for first, end in self._dispatch.reads[self._reads :]:
            self._reads += 1
            self._at(first, self._read, end - first)

    def _read(self, time: int, beats: int) -> None:
        """A read of fetch takes its beats of in-master 0, one behind another."""
        if (before := self._works.get(_READS)) is not None:
            beats += ceil(before.left - before.rate * (time - before.since))
        self._works[_READS] = work = _Work(_READS, _FETCH, _READ, beats, time)
        self._finish_at(work)
        self._pace(time)

    # ---- semaphores ----

    def _head(self, time: int, number: int) -> None:
        """A packet is the head of its queue from the next cycle on."""
        queue = self._queues[number]
        if self._packets[queue.waiting[0]]["wait"]:
            queue.asks = time + self._timing.semaphore
            self._at(queue.asks, self._try, number)
        else:
            self._at(time + 1, self._take, number)

    def _try(self, time: int, number: int) -> None:
        """The head's semaphores may be there; one packet gets its in every second cycle."""
        queue = self._queues[number]
        if not 0 <= queue.asks <= time:
            return
        wanted = bits(self._packets[queue.waiting[0]]["wait"])
        if any(not self._counts[s] for s in wanted):
            return
        if time < self._granted + 2:
            self._at(self._granted + 2, self._try, number)
            return
        self._granted = time
        for s in wanted:
            self._counts[s] -= 1
        queue.asks = -1
        (self._act if number == _FETCH else self._take)(time, number)

    def _signal(self, time: int, index: int) -> None:
        """Its signals count."""
        for s in bits(self._packets[index]["signal"]):
            self._counts[s] += 1
        for number, queue in enumerate(self._queues):
            if queue.asks >= 0 and self._packets[queue.waiting[0]]["wait"]:
                self._at(time, self._try, number)

    def _take(self, time: int, number: int) -> None:
        queue = self._queues[number]
        self.spans[queue.waiting[0]].take = time
        queue.stuck = time + 1
        self._at(time + 1, self._give, number)

    # ---- fetch's own packets ----

    def _act(self, time: int, number: int) -> None:
        """One of them has its semaphores."""
        index = self._queues[number].waiting[0]
        self.spans[index].take = time
        if self._packets[index].name == "HALT":
            self._halt(time)
        else:
            self._at(time + self._costs[index].setup, self._acted)

    def _acted(self, time: int) -> None:
        index = self._queues[_FETCH].waiting.popleft()
        self.spans[index].done = time
        self._at(time + self._timing.semaphore, self._signal, index, urgent=True)
        self._follow(time)

    def _halt(self, time: int) -> None:
        """The end, once every engine is idle."""
        engines = self._queues[:_FETCH]
        if any(q.inside or q.waiting for q in engines):
            return
        queue = self._queues[_FETCH]
        last = max(q.done for q in engines)
        self.spans[queue.waiting.popleft()].done = max(time, last + self._timing.linger) + self._timing.halt

    # ---- engines ----

    def _give(self, time: int, number: int) -> None:
        """The head goes into its engine, if there is a place."""
        queue = self._queues[number]
        if queue.stuck < 0 or time < queue.stuck:
            return
        index = queue.waiting[0]
        if len(queue.inside) >= _HELD or (queue.inside and self._changes_way(number, index)):
            return
        if time < queue.shadow:
            if queue.shadow < _NEVER:
                self._at(queue.shadow, self._give, number)
            return
        queue.stuck = -1
        queue.waiting.popleft()
        queue.inside.append(index)
        self.spans[index].give = time
        cost = self._costs[index]
        self._lines.setdefault((number, cost.path), deque()).append(index)
        if cost.alone and len(queue.inside) > 1:
            queue.shadow = _NEVER
        else:
            self._prepare(time, number, index)
        if queue.full:
            queue.full = False
            self._at(time + 1, self._leave)
        if queue.waiting:
            self._head(time, number)

    def _prepare(self, time: int, number: int, index: int) -> None:
        """The engine begins with the setup of a packet."""
        queue, cost = self._queues[number], self._costs[index]
        self._ready[index] = time - 1 + cost.setup
        if number == _MAC:
            queue.shadow = self._ready[index]
        elif cost.walk:
            queue.shadow = time + cost.walk
        if self._lines[number, cost.path][0] == index:
            self._at(max(time, self._ready[index]), self._begin, index)

    def _changes_way(self, number: int, index: int) -> bool:
        """Whether it writes weights in another way than a packet that is not done."""
        way = self._costs[index].path
        inside = {self._costs[i].path for i in self._queues[number].inside}
        return way in _WEIGHT_WAYS and any(w in _WEIGHT_WAYS and w != way for w in inside)

    def _begin(self, time: int, index: int) -> None:
        cost, number = self._costs[index], self._numbers[index]
        work = _Work(index, number, cost, cost.work, time)
        self._works[index] = work
        self._finish_at(work)
        self._pace(time)

    def _pace(self, time: int) -> None:
        """Every rate anew."""
        works = list(self._works.values())
        uses = [Use(w.index, w.queue, w.cost, w.cost.work - w.left + w.rate * (time - w.since)) for w in works]
        rates = self._sharing.rates(time, uses)
        if (until := self._sharing.until) > self._looked:
            self._looked = until
            self._at(until, self._look, until)
        for work, rate in zip(works, rates, strict=True):
            if rate != work.rate:
                work.left = max(0.0, work.left - work.rate * (time - work.since))
                work.since, work.rate = time, rate
                self._finish_at(work)

    def _look(self, time: int, until: int) -> None:
        """Rates hold no longer."""
        if self._sharing.until == until:
            self._pace(time)

    def _finish_at(self, work: _Work) -> None:
        work.expected = self._order + 1
        self._at(work.since + ceil(work.left / work.rate - _EPSILON), self._finish, work.index, work.expected)

    def _finish(self, time: int, index: int, expected: int) -> None:
        """The work is through, unless its rate has changed since this was expected."""
        work = self._works.get(index)
        if work is None or work.expected != expected:
            return
        del self._works[index]
        self._pace(time)
        if index != _READS:
            self._at(time + work.cost.tail, self._end, index)

    def _end(self, time: int, index: int) -> None:
        """So is what is behind it."""
        number = self._numbers[index]
        cost = self._costs[index]
        line = self._lines[number, cost.path]
        line.popleft()
        if line and line[0] in self._ready:
            following = self._costs[line[0]]
            alike = following.kind == cost.kind and following.kind != "gather"
            behind = 0 if alike else max(0, following.setup - self._timing.copy_ahead)
            self._at(max(time + behind, self._ready[line[0]]), self._begin, line[0])
        self._ended[index] = time
        queue = self._queues[number]
        while queue.settled < len(queue.inside) and (oldest := queue.inside[queue.settled]) in self._ended:
            queue.done = max(self._ended.pop(oldest), time, queue.done + 1)
            queue.settled += 1
            self._at(queue.done, self._done, number)

    def _done(self, time: int, number: int) -> None:
        """The oldest packet of an engine is done."""
        queue = self._queues[number]
        index = queue.inside.popleft()
        queue.settled -= 1
        self.spans[index].done = time
        if self._packets[index]["signal"]:
            self._at(time + self._timing.semaphore, self._signal, index, urgent=True)
        if queue.inside and (following := queue.inside[0]) not in self._ready:
            self._prepare(max(time - 1, self.spans[following].give), number, following)  # it reads its mask now
        if queue.stuck >= 0:
            self._at(time if number == _MAC else time + 1, self._give, number)
        fetch = self._queues[_FETCH]
        if fetch.waiting and fetch.asks < 0 and self._packets[fetch.waiting[0]].name == "HALT":
            self._halt(self.spans[fetch.waiting[0]].take)
