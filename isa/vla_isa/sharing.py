"""What queues take from each other while they run side by side: banks of the scratchpad, in-master 0.

Not here: who takes how much (`cost.Cost`), what comes of it at the scratchpad (`side_by_side.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vla_isa.cost import Cost, Touches
from vla_isa.side_by_side import SideBySide, Use

__all__ = ["Sharing"]

_LEAST = 0.05  # of its own speed that work keeps at worst, so that it ends


@dataclass
class Sharing:
    """Rates of work that runs at one time."""

    _scratchpad: SideBySide = field(default_factory=SideBySide)

    @property
    def until(self) -> int:
        """The cycle up to which rates hold while nothing begins or ends; 0: they do."""
        return self._scratchpad.until

    def rates(self, time: int, uses: Sequence[Use]) -> list[float]:
        """Of each work the speed, as a part of what it has alone."""
        users = [i for i, use in enumerate(uses) if use.cost.share]
        engines = [i for i, use in enumerate(uses) if use.cost.touches != Touches()]
        rates = [1.0] * len(uses)
        for i, beats in zip(users, _beats([uses[i].cost for i in users]), strict=True):
            rates[i] = max(_LEAST, beats / uses[i].cost.share)
        for i, speed in zip(engines, self._scratchpad.speeds(time, [uses[i] for i in engines]), strict=True):
            rates[i] = speed
        return rates


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
