"""What queues take from each other while they run side by side: banks of the scratchpad, in-master 0.

Not here: who takes how much (`cost.Cost`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from vla_isa.banks import Banks, Beats, paces
from vla_isa.cost import Cost, Touches
from vla_isa.ordering import QUEUE_NAMES

__all__ = ["Sharing"]

_LEAST = 0.05  # of its own speed that work keeps at worst, so that it ends
_ORDER = ("mac", "vec", "store", "load", "wload")  # whose lanes of the scratchpad come first, behind the array's
_Group = tuple[int, ...]
_T = TypeVar("_T")


@dataclass
class Sharing:
    """Rates of work that runs at one time."""

    _found: dict[Callable[[], object], object] = field(default_factory=dict)  # what packets touch
    _paces: dict[_Group, tuple[float, ...]] = field(default_factory=dict)

    def rates(self, works: Sequence[tuple[int, int, Cost]]) -> list[float]:
        """Of each work (packet, queue, cost) the speed, as a part of what it has alone."""
        users = [i for i, (_, _, cost) in enumerate(works) if cost.share]
        engines = [i for i, (_, _, cost) in enumerate(works) if cost.touches != Touches()]
        rates = [1.0] * len(works)
        for i, beats in zip(users, _beats([works[i][2] for i in users]), strict=True):
            rates[i] = beats / works[i][2].share
        for i, pace in zip(engines, self._side_by_side([works[i] for i in engines]), strict=True):
            rates[i] = pace
        return [max(_LEAST, min(1.0, rate)) for rate in rates]

    def _side_by_side(self, works: Sequence[tuple[int, int, Cost]]) -> tuple[float, ...]:
        """The speeds of engines at the scratchpad."""
        key = tuple(index for index, _, _ in works)
        if key not in self._paces:
            touches = [cost.touches for _, _, cost in works]
            order = [_ORDER.index(QUEUE_NAMES[queue]) for _, queue, _ in works]
            reads = self._lanes([t.operands for t in touches], [t.reads for t in touches], order)
            writes = self._lanes([t.results for t in touches], [t.writes for t in touches], order)
            paces_of = map(min, reads, writes)
            self._paces[key] = tuple(1.0 if not o else pace for o, pace in zip(order, paces_of, strict=True))
        return self._paces[key]

    def _lanes(
        self,
        first: Sequence[Callable[[], Banks] | None],
        others: Sequence[Callable[[], Beats] | None],
        order: list[int],
    ) -> list[float]:
        rates = [1.0] * len(order)
        engines = sorted((i for i, find in enumerate(others) if find is not None), key=lambda i: order[i])
        if engines:
            banks = next((self._find(find) for find in first if find is not None), ())
            beats = tuple(self._find(find) for i in engines if (find := others[i]) is not None)
            for i, pace in zip(engines, paces(banks, beats), strict=True):
                rates[i] = pace
        return rates

    def _find(self, find: Callable[[], _T]) -> _T:
        """What a packet touches, once."""
        if find not in self._found:
            self._found[find] = find()
        return cast("_T", self._found[find])


def _beats(users: Sequence[Cost]) -> list[float]:
    """Beats of in-master 0 in a cycle for each of its users.

    It takes a burst of each in turn: who has longer bursts gets more, and nobody more than he asks for.
    """
    given, open_ones, left = [0.0] * len(users), set(range(len(users))), 1.0
    while open_ones:
        weight = sum(users[i].burst for i in open_ones)
        content = {i for i in open_ones if users[i].share <= left * users[i].burst / weight}
        for i in content or open_ones:
            given[i] = users[i].share if content else left * users[i].burst / weight
        left -= sum(given[i] for i in content)
        open_ones = open_ones - content if content else set()
    return given
