"""The speeds of engines at the scratchpad, which change where one of them begins or ends.

What a packet touches depends on nothing but itself, so engines are followed cycle by cycle from where they are. Of a
packet that has more than a stretch of work, the stretch from there on stands for what comes.
Not here: what the lanes of engines do in a cycle (`lanes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vla_isa.banks import STRETCH, Banks
from vla_isa.cost import Cost, Touches
from vla_isa.lanes import Lanes, run
from vla_isa.ordering import QUEUE_NAMES

__all__ = ["SideBySide", "Use"]

_ORDER = ("mac", "vec", "store", "load", "wload")  # whose lanes of the scratchpad come first, behind the array's
_OPERANDS = 6  # cycles from where the MAC engine's work begins to its first operands
_LOOKS = 8  # times that one looks at a packet, where a stretch is no longer part of it
_LEAST = 64  # cycles that are looked at
_KNOWN = 1 << 15  # places of lanes, of some 30 KB each, that are kept for the rounds of a loop
_SLOWEST = 0.05  # of its own speed that work keeps at worst, so that it ends

_Array = tuple[Touches, int] | None  # the MAC engine's, and cycles of its work that are done


@dataclass(frozen=True)
class Use:
    """Work of a packet of a queue, so many cycles of which are done."""

    index: int
    queue: int
    cost: Cost
    done: float

    @property
    def part(self) -> float:
        """The part of its work that is done."""
        return self.done / max(1, self.cost.work)

    @property
    def left(self) -> float:
        """Cycles of its work alone that are left."""
        return self.cost.work - self.done


@dataclass(frozen=True)
class _Look:
    """Lanes of packets, by the numbers of where they are, beside the array, from a time on."""

    time: int
    packets: tuple[int, ...]
    places: tuple[int, ...]
    array: _Array


@dataclass
class SideBySide:
    """One run.

    Attributes:
        until: the cycle up to which speeds hold while nothing begins or ends; 0: they do.
    """

    until: int = 0
    _engines: tuple[int, ...] = ()
    _speeds: tuple[float, ...] = ()
    _last: _Look | None = None
    _places: list[Lanes] = field(default_factory=list)
    _numbers: dict[object, tuple[int, ...]] = field(default_factory=dict)  # of places, by how one comes there
    _ahead: dict[tuple[tuple[int, ...], _Array], tuple[tuple[float, float], ...]] = field(default_factory=dict)

    def speeds(self, time: int, uses: Sequence[Use]) -> tuple[float, ...]:
        """Of each engine the part of its own speed that it has."""
        engines = tuple(use.index for use in uses)
        if engines != self._engines or 0 < self.until <= time:
            self._engines, self.until = engines, 0
            if len(self._places) > _KNOWN:
                self._forget()
            self._speeds = self._look(time, uses)
        return self._speeds

    def _look(self, time: int, uses: Sequence[Use]) -> tuple[float, ...]:
        order = [_ORDER.index(QUEUE_NAMES[use.queue]) for use in uses]
        with_lanes = sorted((i for i, u in enumerate(uses) if u.cost.touches.reads), key=lambda i: order[i])
        array: _Array = next(((u.cost.touches, int(u.done)) for u in uses if u.cost.touches.operands), None)
        carried = self._carried(time)
        places = tuple(carried.get(uses[i].index, self._begun(uses[i])) for i in with_lanes)
        self._last = _Look(time, tuple(uses[i].index for i in with_lanes), places, array)
        speeds, until = [1.0] * len(uses), list[float]()
        for i, place, (end, pace) in zip(with_lanes, places, self._from_here(places, array), strict=True):
            if order[i] == 0:  # its results wait, the array does not
                continue
            speeds[i] = max(_SLOWEST, min(1.0, uses[i].left / end if end else pace))
            if not end and pace < 1:
                whole = uses[i].cost.work / speeds[i]
                until.append(STRETCH if self._places[place].complete else max(STRETCH, whole / _LOOKS))
        self.until = time + int(min(until)) if until else 0
        return tuple(speeds)

    def _begun(self, use: Use) -> int:
        """The place of an engine that begins, or whose queues are not known."""
        find = use.cost.touches.reads
        assert find is not None
        key = (find, use.part)
        if key not in self._numbers:
            self._numbers[key] = self._placed([Lanes(find(use.part), begun=use.part > 0)])
        return self._numbers[key][0]

    def _carried(self, time: int) -> dict[int, int]:
        """The places of packets that were looked at before, now, where all of their work was looked at."""
        last = self._last
        if last is None or time - last.time > STRETCH:
            return {}
        key = (last.places, last.array, time - last.time)
        if key not in self._numbers:
            lanes = [self._places[place].copied() for place in last.places]
            run(lanes, *_array_banks(last.array), time - last.time)
            self._numbers[key] = self._placed(lanes)
        places = zip(last.packets, self._numbers[key], strict=True)
        return {packet: place for packet, place in places if self._places[place].complete}

    def _forget(self) -> None:
        """Let go of all places but those that were looked at last: what was kept of them is computed again."""
        kept = [] if self._last is None else [self._places[place] for place in self._last.places]
        self._places, self._numbers, self._ahead = [], {}, {}
        if self._last is not None:
            self._last = replace(self._last, places=self._placed(kept))

    def _placed(self, lanes: Sequence[Lanes]) -> tuple[int, ...]:
        self._places.extend(lanes)
        return tuple(range(len(self._places) - len(lanes), len(self._places)))

    def _from_here(self, places: tuple[int, ...], array: _Array) -> tuple[tuple[float, float], ...]:
        """Of each engine the cycles until all its work is through, 0 where they are not known, and its pace."""
        if (places, array) not in self._ahead:
            before = [self._places[place] for place in places]
            lanes = [engine.copied() for engine in before]
            operands, results = _array_banks(array)
            seen = max(len(operands), len(results))
            cycles = max(_LEAST, seen) if array else STRETCH
            run(lanes, operands, results, cycles)
            paces = [engine.pace(b) for engine, b in zip(lanes, before, strict=True)]
            if seen < STRETCH and any(engine.complete and not engine.through for engine in lanes):
                run(lanes, (), (), 2 * STRETCH - cycles)  # the array is through
            self._ahead[places, array] = tuple(
                (max(1, engine.end - b.now) if engine.through and engine.complete else 0, pace)
                for engine, b, pace in zip(lanes, before, paces, strict=True)
            )
        return self._ahead[places, array]


def _array_banks(array: _Array) -> tuple[Banks, Banks]:
    """What the array reads and writes from here on, in each cycle."""
    if array is None:
        return (), ()
    touches, done = array
    at = done - _OPERANDS
    return _from(touches.operands, at), _from(touches.results, at)


def _from(find: Callable[[int], Banks] | None, at: int) -> Banks:
    return ((0,) * max(0, -at) + find(max(0, at)))[:STRETCH] if find is not None else ()
