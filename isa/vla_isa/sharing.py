"""What queues take from each other while they run side by side: banks of the scratchpad, in-master 0.

Work that yields goes on at the rate that the others leave. Not here: who takes how much (`cost.Cost`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sharing"]

_FOREVER = 1 << 50
_LEAST = 0.05  # of its own speed that work keeps at worst, so that it ends

Spans = list[tuple[int, int, float]]


@dataclass
class Sharing:
    """Which queue takes which share of a resource, and when."""

    spans: dict[str, dict[int, Spans]] = field(default_factory=dict)
    _profiles: dict[tuple[str, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)

    def take(self, resource: str, queue: int, begin: int, end: int, share: float) -> None:
        """`queue` takes `share` of the resource from cycle `begin` to `end`."""
        self.spans.setdefault(resource, {}).setdefault(queue, []).append((begin, end, share))

    def finish(self, resource: str, queue: int, begin: int, work: int) -> int:
        """When `work` cycles of a queue that begin at `begin` end, beside what the other queues take."""
        time, done = self._profile(resource, queue)
        if len(time) == 0 or work == 0:
            return begin + work
        goal = np.interp(begin, time, done) + work
        return int(np.ceil(np.interp(goal, done, time) - 1e-6))

    def _profile(self, resource: str, queue: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Work that is possible from cycle 0 to each cycle at which a share changes."""
        key = (resource, queue)
        if key not in self._profiles:
            spans = [s for other, some in self.spans.get(resource, {}).items() if other != queue for s in some]
            self._profiles[key] = _possible(spans)
        return self._profiles[key]


def _possible(spans: Spans) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not spans:
        return np.zeros(0), np.zeros(0)
    begin, end, share = (np.array(column, np.float64) for column in zip(*spans, strict=True))
    at = np.concatenate([[0.0], begin, end, [_FOREVER]])
    change = np.concatenate([[0.0], share, -share, [0.0]])
    order = np.argsort(at, kind="stable")
    time, taken = at[order], np.cumsum(change[order])
    rate = np.maximum(1 - taken[:-1], _LEAST)
    return time, np.concatenate([[0.0], np.cumsum(np.diff(time) * rate)])
