"""Pushes off the path, from which the expert comes back: states that a policy gets into and demonstrations lack.

What is recorded is the expert's steering while it is pushed and while it recovers, never the push. Probabilities,
strength and lengths are those of the earlier CARLA system's collector, which left the recovery out.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Pushes"]

_QUIET = 4.0  # seconds after a push, and at the begin, without one
_RATE = 0.14  # a second; with traffic _RATE_BUSY
_RATE_BUSY = 0.04
_STEER = 0.20
_SHORTEST, _LONGEST = 0.75, 1.25  # seconds
_FARTHEST = 0.8  # metres off the path, where a push ends


class Pushes:
    """What is added to the steering, of an episode's generator."""

    def __init__(self, rng: np.random.Generator, busy: bool) -> None:
        self._rng, self._rate = rng, _RATE_BUSY if busy else _RATE
        self._quiet, self._left, self._steer = _QUIET, 0.0, 0.0

    def steer(self, seconds: float, off: float, straight: bool) -> float:
        """The push of the next `seconds`.

        Args:
            off: metres from the path.
            straight: whether the path goes straight on here; no push begins elsewhere.
        """
        if self._left > 0:
            self._left -= seconds
            if off > _FARTHEST or self._left <= 0:
                self._left, self._quiet = 0.0, _QUIET
                return 0.0
            return self._steer
        self._quiet -= seconds
        if self._quiet <= 0 and straight and self._rng.random() < self._rate * seconds:
            self._left = float(self._rng.uniform(_SHORTEST, _LONGEST))
            self._steer = _STEER if self._rng.random() < 0.5 else -_STEER
        return 0.0
