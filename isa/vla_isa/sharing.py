"""What queues take from each other while they run side by side: banks of the scratchpad, in-master 0.

Not here: who takes how much (`cost.Cost`).
"""

from __future__ import annotations

from collections.abc import Sequence

from vla_isa.cost import Cost

__all__ = ["rates_of"]

_LEAST = 0.05  # of its own speed that work keeps at worst, so that it ends


def rates_of(costs: Sequence[Cost]) -> list[float]:
    """Of work that runs at one time, the speed of each as a part of what it has alone."""
    banks = sum(c.share for c in costs if c.resource == "banks")
    users = [i for i, c in enumerate(costs) if c.resource == "master"]
    beats = dict(zip(users, _beats([costs[i] for i in users]), strict=True))
    rates = []
    for i, cost in enumerate(costs):
        if i in beats:
            rate = beats[i] / cost.share
        else:
            rate = 1 - (banks - cost.share) if cost.yields else 1.0
        rates.append(max(_LEAST, min(1.0, rate)))
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
