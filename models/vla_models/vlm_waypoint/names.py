"""Names and fixed sizes of the tensors, each written once."""

from __future__ import annotations

from vla_datasets.waymo.names import PAST, STATES, Intent

__all__ = [
    "DECIDE",
    "IMAGE_INPUT",
    "INTENTS",
    "INTENT_INPUT",
    "MOTION",
    "PAST_VALUES",
    "SCORES",
    "SEE",
    "STATE_INPUT",
    "TOKENS_INPUT",
]

IMAGE_INPUT = "image"  # (N, 3, S, S), with the tower's normalization
STATE_INPUT = "state"  # (N, 96), past states by moment, as deviations from the data's mean
INTENT_INPUT = "intent"  # (N, 3): straight, left, right; all 0 where it is unknown
TOKENS_INPUT = "tokens"  # (N, tokens, width): what the tower makes of the picture, where it is known already
MOTION = "motion"  # (N, 20, 2), m/s; see `motion.py`
SCORES = "scores"  # (N, K), of proposals; then there are K motions

SEE, DECIDE = "see", "decide"  # graphs of tower and head, where they are two

PAST_VALUES = PAST * len(STATES)
INTENTS = len(Intent) - 1
