"""What acts in several episodes at a time: each is a slot with a queue of actions of its own.

Not here: what computes them (`runners.py`, `server_runner.py`), the worlds (`rollout.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.keys import Sample

__all__ = ["Runner"]


class Runner(ABC):
    """Asks for actions where a slot has none left of its last chunk.

    Attributes:
        computes_on_host: a call takes time beside the device's cycles.
        history: steps that what computes sees at once.
        frequency: actions a second that it was made for; None: it does not say.
    """

    computes_on_host = False
    history = 1
    frequency: float | None = None

    def __init__(self) -> None:
        self._queues: dict[int, deque[Any]] = {}
        self._seen: dict[int, deque[Sample]] = {}

    def reset(self, slot: int, task: str, seed: int) -> None:
        """Begin an episode in a slot."""
        self._queues[slot] = deque()
        self._seen[slot] = deque(maxlen=self.history)
        self.begin(slot, task, seed)

    def act(self, observations: Mapping[int, Sample]) -> dict[int, Any]:
        """The action of each slot."""
        windows = {slot: self.window(slot, seen) for slot, seen in observations.items()}
        asked = {slot: window for slot, window in windows.items() if not self._queues[slot]}
        if asked:
            for slot, actions in self.ask(asked).items():
                self._queues[slot].extend(actions)
        return {slot: self._queues[slot].popleft() for slot in observations}

    def window(self, slot: int, seen: Sample) -> Sample:
        """What is observed now, or with a history the last steps of it on a leading axis, oldest first.

        It must be called at every step; in front of an episode's first step there are copies of it.
        """
        if self.history == 1:
            return seen
        steps = self._seen[slot]
        steps.extend([seen] * (1 if steps else self.history))
        return {k: v if isinstance(v, str) else np.stack([step[k] for step in steps]) for k, v in seen.items()}

    def correct(self, slot: int, action: Any) -> None:
        """Something else was done than the last action of a slot: what is left of its chunk is of no use."""
        self._queues[slot].clear()

    def elapsed(self, slot: int) -> float:
        """Seconds that the world moves on under the action before, until the action of this step takes effect."""
        return 0.0

    @abstractmethod
    def begin(self, slot: int, task: str, seed: int) -> None:
        """What computes forgets the slot's last episode."""

    @abstractmethod
    def ask(self, observations: Mapping[int, Sample]) -> dict[int, npt.NDArray[Any]]:
        """A chunk of actions for each slot, (steps, *shape of an action).

        Args:
            observations: at least one; with a history as `window` makes them.
        """

    @abstractmethod
    def cycles(self) -> int | None:
        """Of the longest call on the device, where there is one and it was called."""

    def cycles_of(self, slot: int) -> int | None:
        """Of a slot's last call on the device, where calls differ."""
        return self.cycles()

    def close(self) -> None:
        """Free what it holds; it may be used again, from a new episode on."""
        self._queues.clear()
