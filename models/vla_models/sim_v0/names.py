"""Names and fixed sizes of the tensors, each written once."""

from __future__ import annotations

from vla_datasets.worlds.rover.names import ACTIONS, REASONS, RISKS, TELEMETRY_NAMES

__all__ = [
    "CONFIDENCE",
    "FRAMES_INPUT",
    "HISTORY_INPUT",
    "IMAGE_INPUT",
    "OUTPUTS",
    "ROW",
    "TELEMETRY_INPUT",
    "TELEMETRY_VALUES",
    "THERE_INPUT",
    "WORDS",
]

IMAGE_INPUT = "image"  # (N, 3, S, S), the newest picture in [-1, 1]
HISTORY_INPUT = "history"  # (N, F - 1, d), rows of the pictures before it; 0 where there was none
TELEMETRY_INPUT = "telemetry"  # (N, 8), as deviations from the data's mean
FRAMES_INPUT = "frames"  # in training: (N, F, 3, S, S), all pictures, or (N, F, dv), what the eyes said of them
THERE_INPUT = "there"  # in training: (N, F), 1 where there was a picture
CONFIDENCE = "confidence"  # (N, 1): log-odds that risk, reason and action are all right
ROW = "row"  # (N, d), of the newest picture: what it is in the next frames' history
WORDS = {"risk": RISKS, "reason": REASONS, "action": ACTIONS}  # outputs (N, words), logits
OUTPUTS = (*WORDS, CONFIDENCE, ROW)
TELEMETRY_VALUES = len(TELEMETRY_NAMES)
