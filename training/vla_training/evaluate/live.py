"""The world moves on while the machine computes: an action takes effect some time after its observation.

A call that is over within a control step delays that step's action: the world first moves on by its seconds, under
the action before. Any other takes effect ceil(cycles / clock * control frequency) control steps after the step of its
observation; until then the rest of the last chunk goes on, and behind its end the last action. The machine
computes one call at a time for an episode. It is asked again when it is free and what is left of the chunk lasts no
longer than a call does. Not here: many clocks and programs (`sweep.py`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from vla_datasets.keys import Sample
from vla_training.errors import EvaluationError
from vla_training.evaluate.runner import Runner

__all__ = ["LiveRunner", "delay"]


def delay(cycles: int, clock_mhz: float, fps: int) -> tuple[int, float]:
    """From an observation until its action takes effect: control steps, and seconds within the step.

    A call within a step is that many seconds late, any other whole steps, rounded up. Exact: a call of just a step is
    one step late, neither none nor two.
    """
    seconds = Fraction(cycles) / (Fraction(repr(clock_mhz)) * 1_000_000)
    return (math.ceil(seconds * fps), 0.0) if seconds * fps >= 1 else (0, float(seconds))


@dataclass
class _Slot:
    """An episode: what is done, and what is on its way."""

    last: Any  # the action of the step before
    elapsed: float = 0.0  # seconds of the step that comes until its action takes effect
    step: int = 0
    delay: int = 0  # steps, of the last call
    coming: tuple[int, npt.NDArray[Any]] | None = None  # the step at which it takes effect, and the chunk


class LiveRunner(Runner):
    """Another runner's actions, late.

    Args:
        runner: asked for chunks; its device counts cycles.
        clock_mhz: of the device.
        fps: control steps per second.
        idle: what is done before the first action of an episode.

    Raises:
        EvaluationError: not all time of a call is the device's.
    """

    def __init__(self, runner: Runner, clock_mhz: float, fps: int, idle: Any) -> None:
        super().__init__()
        if runner.computes_on_host:
            raise EvaluationError("--live counts the device's cycles, and parts of this program run on the host.")
        self._runner, self._clock, self._fps, self._idle = runner, clock_mhz, fps, idle
        self.history = runner.history
        self._slots: dict[int, _Slot] = {}

    def begin(self, slot: int, task: str, seed: int) -> None:
        """The machine is free, and what was on its way is lost."""
        self._slots[slot] = _Slot(self._idle)
        self._runner.begin(slot, task, seed)

    def act(self, observations: Mapping[int, Sample]) -> dict[int, Any]:
        """What each slot does at this step."""
        for slot in observations:
            self._slots[slot].elapsed = 0.0
            self._arrive(slot)
        windows = {slot: self.window(slot, seen) for slot, seen in observations.items()}
        asked = {slot: window for slot, window in windows.items() if self._asks(slot)}
        if asked:
            for slot, chunk in self.ask(asked).items():
                state = self._slots[slot]
                state.delay, state.elapsed = delay(self._counted(slot), self._clock, self._fps)
                state.coming = (state.step + state.delay, chunk)
                self._arrive(slot)
        return {slot: self._next(slot) for slot in observations}

    def elapsed(self, slot: int) -> float:
        """Seconds that the world moves on under the action before."""
        return self._slots[slot].elapsed

    def ask(self, observations: Mapping[int, Sample]) -> dict[int, npt.NDArray[Any]]:
        """The other runner's chunks."""
        return self._runner.ask(observations)

    def cycles(self) -> int | None:
        """Of the longest call on the device."""
        return self._runner.cycles()

    def cycles_of(self, slot: int) -> int | None:
        """Of a slot's last call on the device."""
        return self._runner.cycles_of(slot)

    def close(self) -> None:
        """Free what the other runner holds."""
        super().close()
        self._runner.close()

    def _asks(self, slot: int) -> bool:
        state = self._slots[slot]
        return state.coming is None and len(self._queues[slot]) <= state.delay

    def _counted(self, slot: int) -> int:
        cycles = self.cycles_of(slot)
        if cycles is None:
            raise EvaluationError("--live needs the cycles of a call, and this backend counts none.")
        return cycles

    def _arrive(self, slot: int) -> None:
        """Let a chunk whose time has come take the place of what is left of the one before."""
        state = self._slots[slot]
        if state.coming is not None and state.step >= state.coming[0]:
            self._queues[slot] = deque(state.coming[1])
            state.coming = None

    def _next(self, slot: int) -> Any:
        state, queue = self._slots[slot], self._queues[slot]
        if queue:
            state.last = queue.popleft()
        state.step += 1
        return state.last
