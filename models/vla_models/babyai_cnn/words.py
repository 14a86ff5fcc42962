"""The closed vocabulary of the BabyAI missions and the bag-of-words vector made of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vla_isa.errors import did_you_mean
from vla_models.babyai_cnn.config import VOCABULARY_SIZE
from vla_models.errors import ObservationError

__all__ = ["WORDS", "bag_of_words"]

# Every word that minigrid's BabyAI instruction verifier can print. The index is the row of the mission input,
# so new words go at the end and none ever moves.
WORDS = (
    *("go", "to", "pick", "up", "open", "put", "next", "and", "then", "after", "you"),
    *("the", "a", "object", "box", "ball", "key", "door"),
    *("blue", "green", "grey", "purple", "red", "yellow"),
    *("in", "front", "of", "behind", "on", "your", "left", "right"),
)
_INDEX = {word: index for index, word in enumerate(WORDS)}
_PLACE, _BEHIND = "next", VOCABULARY_SIZE // 2  # a word behind it has a row of its own


def bag_of_words(mission: str) -> npt.NDArray[np.float32]:
    """Count the words of a mission: shape (64,), word order and punctuation are lost.

    But for one thing: words behind "next" are counted in the second half. What is put next to what is two objects, and
    "put the red ball next to the green box" is not "put the green ball next to the red box".

    Raises:
        ObservationError: a word that no BabyAI mission has; the policy could not know it.
    """
    counts = np.zeros(VOCABULARY_SIZE, np.float32)
    words = mission.lower().replace(",", " ").split()
    if not words:
        raise ObservationError("The mission is empty; give a sentence such as 'go to the red ball'.")
    first = 0
    for word in words:
        if word not in _INDEX:
            hint = did_you_mean(word, WORDS, f"Known words: {', '.join(WORDS)}.")
            raise ObservationError(f"Mission '{mission}': the word '{word}' is not in the vocabulary.{hint}")
        counts[_INDEX[word] + first] += 1.0
        first = _BEHIND if word == _PLACE else first
    return counts
