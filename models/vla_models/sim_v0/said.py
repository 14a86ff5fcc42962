"""From the network's numbers to what is said, in indices or in words; numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_datasets.worlds.rover.names import HIGH
from vla_models.errors import ObservationError
from vla_models.sim_v0.config import SimV0Config
from vla_models.sim_v0.names import CONFIDENCE, WORDS

__all__ = ["below_high", "chances", "predict_json", "said"]

Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]


def chances(outputs: Arrays) -> dict[str, Floats]:
    """Probabilities: of each word of risk, reason and action (N, words), and `confidence` (N,) that all are right.

    Raises:
        ObservationError: an output is of another form, or not finite.
    """
    found: dict[str, Floats] = {}
    for name, words in (*WORDS.items(), (CONFIDENCE, ("",))):
        logits = np.asarray(outputs[name], np.float64)
        if logits.ndim != 2 or logits.shape[1] != len(words) or not np.isfinite(logits).all():
            raise ObservationError(f"'{name}' is {logits.shape}; it must be (N, {len(words)}), of finite numbers.")
        found[name] = logits
    for name in WORDS:
        powers = np.exp(found[name] - found[name].max(axis=1, keepdims=True))
        found[name] = powers / powers.sum(axis=1, keepdims=True)
    found[CONFIDENCE] = 1 / (1 + np.exp(-np.clip(found[CONFIDENCE][:, 0], -60, 60)))
    return found


def below_high(chance: Mapping[str, Floats]) -> npt.NDArray[np.int64]:
    """Index of the likeliest risk that is not high, (N,)."""
    found: npt.NDArray[np.int64] = chance["risk"][:, :HIGH].argmax(axis=1)
    return found


def said(config: SimV0Config, chance: Mapping[str, Floats]) -> npt.NDArray[np.int64]:
    """Indices of risk, reason and action (N, 3): the likeliest words, but high from `high_from` on alone."""
    risk = np.where(chance["risk"][:, HIGH] >= config.high_from, HIGH, below_high(chance))
    return np.stack([risk, chance["reason"].argmax(axis=1), chance["action"].argmax(axis=1)], axis=1)


def predict_json(config: SimV0Config, outputs: Arrays, ids: Sequence[str] = ()) -> list[dict[str, Any]]:
    """In words: risk, reason, action, confidence, and `sample_id` where there are ids.

    Raises:
        ObservationError: an output is of another form, or not finite.
    """
    chance = chances(outputs)
    found: list[dict[str, Any]] = []
    for row, indices in enumerate(said(config, chance)):
        words = {name: words[index] for (name, words), index in zip(WORDS.items(), indices, strict=True)}
        found.append({**words, CONFIDENCE: float(chance[CONFIDENCE][row])})
    for one, name in zip(found, ids, strict=False):
        one["sample_id"] = name
    return found
