"""A recording as it will be written, whatever it was recorded of.

Not here: who makes one (`pusht.py`, `aloha.py`) and who writes it (`write.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vla_datasets.lerobot.format import Feature
from vla_datasets.lerobot.writer import Episode

__all__ = ["Prepared"]


@dataclass(frozen=True)
class Prepared:
    """A recording that has been looked at.

    Attributes:
        form: its format and version.
        world: whose data it becomes.
        origin: of the set, more for its info.json.
        features: the columns.
        fps: frames a second.
        total: how many episodes.
        episodes: all of them in order; they raise DatasetError where a file turns out to be damaged.
    """

    form: str
    world: str
    origin: Mapping[str, object]
    features: Mapping[str, Feature]
    fps: int
    total: int
    episodes: Iterator[Episode]
