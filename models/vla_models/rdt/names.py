"""Names and fixed sizes of RDT's tensors, each written once."""

from __future__ import annotations

__all__ = [
    "FEATURES_INPUT",
    "FREQUENCY_INPUT",
    "LANGUAGE_INPUT",
    "LANGUAGE_MASK",
    "MASK_INPUT",
    "STATE_INPUT",
    "WAVES",
    "image_input",
]

WAVES = 256  # numbers of a time or a frequency, as sines and cosines

STATE_INPUT = "state"  # (N, 128): the unified vector, see `vla_datasets.unified`
MASK_INPUT = "mask"  # (N, 128): 1 for the places that the robot has
FREQUENCY_INPUT = "frequency"  # (N, 256): of control, as waves
LANGUAGE_INPUT = "language"  # (N, tokens, width)
LANGUAGE_MASK = "language_mask"  # (N, tokens): 1 for the sentence's own
FEATURES_INPUT = "image_features"  # (N, tokens, width): of all pictures, by another network


def image_input(camera: str, age: int) -> str:
    """The input (N, 3, height, width) of a camera's picture, so many steps old."""
    return f"image_{camera}_{age}" if age else f"image_{camera}"
