"""What queues take from each other while they run side by side: banks of the scratchpad, in-master 0.

Not here: who takes how much (`cost.Cost`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vla_isa.banks import Operands, Reads, paces
from vla_isa.cost import Cost
from vla_isa.ordering import QUEUE_NAMES

__all__ = ["Sharing"]

_LEAST = 0.05  # of its own speed that work keeps at worst, so that it ends
_ORDER = ("vec", "store", "load", "wload")  # whose lanes of the scratchpad come first, behind the array's
_Group = tuple[int, ...]


@dataclass
class Sharing:
    """Rates of work that runs at one time."""

    _operands: dict[int, Operands] = field(default_factory=dict)  # by packet
    _reads: dict[int, Reads] = field(default_factory=dict)
    _paces: dict[_Group, tuple[float, ...]] = field(default_factory=dict)

    def rates(self, works: Sequence[tuple[int, int, Cost]]) -> list[float]:
        """Of each work (packet, queue, cost) the speed, as a part of what it has alone."""
        users = [i for i, (_, _, cost) in enumerate(works) if cost.share]
        readers = [i for i, (_, _, cost) in enumerate(works) if cost.reads is not None]
        readers.sort(key=lambda i: _ORDER.index(QUEUE_NAMES[works[i][1]]))
        arrays = [i for i, (_, _, cost) in enumerate(works) if cost.operands is not None]
        rates = [1.0] * len(works)
        for i, beats in zip(users, _beats([works[i][2] for i in users]), strict=True):
            rates[i] = beats / works[i][2].share
        if readers:
            for i, pace in zip(readers, self._read(works, arrays, readers), strict=True):
                rates[i] = pace
        return [max(_LEAST, min(1.0, rate)) for rate in rates]

    def _read(
        self, works: Sequence[tuple[int, int, Cost]], arrays: Sequence[int], readers: Sequence[int]
    ) -> tuple[float, ...]:
        key = tuple(works[i][0] for i in (*arrays, *readers))
        if key not in self._paces:
            array: Operands = ()
            for index, _, cost in (works[i] for i in arrays):
                if index not in self._operands and cost.operands is not None:
                    self._operands[index] = cost.operands()
                array = self._operands[index]
            for index, _, cost in (works[i] for i in readers):
                if index not in self._reads and cost.reads is not None:
                    self._reads[index] = cost.reads()
            self._paces[key] = paces(array, tuple(self._reads[works[i][0]] for i in readers))
        return self._paces[key]


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
