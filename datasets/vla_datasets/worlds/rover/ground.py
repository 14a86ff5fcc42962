"""What stands, walks and lies around the rover: drawn at random for an episode, x ahead of its start, y to the left.

Not here: what touches what (`outlook.py`), how it looks (`scene.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RADIUS", "Box", "Ground", "Passage", "Patch", "Person"]

RADIUS = 0.35  # m, of the rover
_FREE = 1.0  # m around the start that nothing stands in
_FARTHEST, _ASIDE = 12.0, 2.0  # m ahead and to either side
_FASTEST = 1.3  # m/s, of a person
_TURNS = 0.2  # of a person, per second


@dataclass
class Person:
    """Who walks, until the mood changes."""

    x: float
    y: float
    vx: float
    vy: float
    coat: int
    radius: float = 0.3


@dataclass(frozen=True)
class Box:
    """What stands in the way."""

    x: float
    y: float
    radius: float
    height: float
    color: tuple[float, float, float]


@dataclass(frozen=True)
class Passage:
    """Two walls along x with a gap between them."""

    x: float
    y: float  # of the gap's middle
    gap: float
    length: float = 4.0
    thickness: float = 0.3


@dataclass(frozen=True)
class Patch:
    """Ground that shakes the rover (stones) or on which its wheels spin (ice)."""

    x: float
    y: float
    length: float
    width: float
    ice: bool

    def holds(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether places are on it."""
        along, across = np.abs(np.asarray(x) - self.x), np.abs(np.asarray(y) - self.y)
        inside: npt.NDArray[np.bool_] = (along < self.length / 2) & (across < self.width / 2)
        return inside


@dataclass(frozen=True)
class Ground:
    """All of it."""

    people: tuple[Person, ...]
    boxes: tuple[Box, ...]
    passages: tuple[Passage, ...]
    patches: tuple[Patch, ...]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Ground:
        """Of an episode."""
        passages: tuple[Passage, ...] = ()
        if rng.random() < 0.3:
            passages = (Passage(rng.uniform(1.5, 5.0), rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.7)),)
        people, boxes = [], []
        for _ in range(int(rng.integers(0, 5))):
            (x, y), speed, way = _place(rng), max(0.0, rng.uniform(-0.3, _FASTEST)), rng.uniform(0, 2 * math.pi)
            people.append(Person(x, y, speed * math.cos(way), speed * math.sin(way), int(rng.integers(4))))
        for _ in range(int(rng.integers(0, 2 if passages else 7))):
            (x, y), color = _place(rng), tuple(float(c) for c in rng.uniform(0.2, 0.75, 3))
            boxes.append(Box(x, y, rng.uniform(0.15, 0.4), rng.uniform(0.3, 1.2), color))  # type: ignore[arg-type]
        patches = [
            Patch(rng.uniform(1.0, 9.0), rng.uniform(-1.0, 1.0), rng.uniform(1.5, 4.0), rng.uniform(2.0, 5.0), ice)
            for ice in (False, True)
            if rng.random() < 0.25
        ]
        return cls(tuple(people), tuple(boxes), passages, tuple(patches))

    def move(self, seconds: float, rng: np.random.Generator) -> None:
        """People walk on; now and then one takes another way, or stands."""
        for person in self.people:
            person.x += person.vx * seconds
            person.y += person.vy * seconds
            if rng.random() < _TURNS * seconds:
                speed, way = max(0.0, rng.uniform(-0.3, _FASTEST)), rng.uniform(0, 2 * math.pi)
                person.vx, person.vy = speed * math.cos(way), speed * math.sin(way)


def _place(rng: np.random.Generator) -> tuple[float, float]:
    while True:
        x, y = rng.uniform(-1.0, _FARTHEST), rng.uniform(-_ASIDE, _ASIDE)
        if math.hypot(x, y) > _FREE + RADIUS:
            return float(x), float(y)
