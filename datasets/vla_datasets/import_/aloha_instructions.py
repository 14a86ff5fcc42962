"""The sentences of a folder of RDT's: an instruction, simplified ones and expanded ones, in a JSON beside the episodes.

RDT draws the kind for each sample, each of the three a third of the time, and then a sentence of it; a prepared set has
one sentence an episode, so it is drawn for each episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_datasets.errors import DatasetError
from vla_isa.documents import read_json

__all__ = ["INSTRUCTIONS", "Instructions", "read_instructions"]

INSTRUCTIONS = "expanded_instruction_gpt-4-turbo.json"
_LISTS = ("simplified_instruction", "expanded_instruction")
_MOST_BYTES, _MOST_WORDS = 10_000_000, 2_000  # of the file; letters of a sentence


@dataclass(frozen=True)
class Instructions:
    """Sentences by kind; none of them is empty."""

    kinds: Sequence[Sequence[str]]

    def original(self) -> str:
        """The instruction itself."""
        return self.kinds[0][0]

    def drawn(self, number: int) -> str:
        """The sentence of episode `number`: of each kind as often, whichever of it."""
        random = np.random.default_rng(number)
        kind = self.kinds[int(random.integers(len(self.kinds)))]
        return kind[int(random.integers(len(kind)))]


def read_instructions(folder: Path) -> Instructions | None:
    """What a folder says; None where it says nothing.

    Raises:
        DatasetError: the file is damaged, or of another form.
    """
    path = folder / INSTRUCTIONS
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path} has {path.stat().st_size:,} bytes; at most {_MOST_BYTES:,} are read.")
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path} is no table of 'instruction', {', '.join(map(repr, _LISTS))}.")
    lists = [_sentences(path, name, found[name]) for name in _LISTS if name in found]
    return Instructions([_sentences(path, "instruction", [found.get("instruction")]), *lists])


def _sentences(path: Path, name: str, found: Any) -> list[str]:
    if isinstance(found, str):
        found = [found]
    good = isinstance(found, list) and found
    if not good or not all(isinstance(text, str) and 1 <= len(text) <= _MOST_WORDS for text in found):
        raise DatasetError(f"{path}: '{name}' is {found!r:.60}; it must be sentences of 1 to {_MOST_WORDS:,} letters.")
    return list(found)
