"""A robot's instruction as the rows that the network takes."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vla_models.errors import LanguageError
from vla_models.language.embeddings import Embeddings, padded
from vla_models.rdt.config import RdtConfig

__all__ = ["Sentences", "open_embeddings"]

Floats = npt.NDArray[np.float32]


def open_embeddings(config: RdtConfig) -> Embeddings:
    """The folder of the config, which must be of its encoder and width.

    Raises:
        LanguageError: the config names none, or it is missing, damaged, or another encoder's.
    """
    if not config.embeddings:
        raise LanguageError(
            "rdt: 'embeddings' names no folder of embedded sentences; make one with 'vla-train embed-text' and give it."
        )
    found = Embeddings(Path(config.embeddings))
    if config.encoder not in ("", found.encoder):
        raise LanguageError(
            f"rdt: {config.embeddings} has sentences of {found.encoder}; the policy was made for those of "
            f"{config.encoder}."
        )
    if found.width != config.language_width:
        raise LanguageError(
            f"rdt: sentences in {config.embeddings} are {found.width} wide; 'language_width' is "
            f"{config.language_width}."
        )
    return found


class Sentences:
    """Rows and mask of instructions; the folder is opened when the first one is asked for."""

    def __init__(self, config: RdtConfig) -> None:
        self._config = config
        self._open = functools.cache(lambda: open_embeddings(config))
        self._kept: dict[str, tuple[Floats, Floats]] = {}

    def __call__(self, text: str) -> tuple[Floats, Floats]:
        """(1, tokens, width) with zeros behind the sentence, and its mask (1, tokens); "" is no instruction.

        Raises:
            LanguageError: there is no embedding of it.
        """
        if text not in self._kept:
            self._kept[text] = padded(self._open().rows(text), self._config.language_tokens)
        return self._kept[text]
