"""A picture's size as command lines take it: width x height."""

from __future__ import annotations

import re

from vla_isa.errors import BadUsageError

__all__ = ["picture_size"]


def picture_size(text: str) -> tuple[int, int]:
    """Width and height of `384x256`.

    Raises:
        BadUsageError: it is no such text.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text, re.ASCII)
    if match is None:
        raise BadUsageError(f"--size is '{text}'; it must be width x height in pixels, for example 384x256.")
    return int(match[1]), int(match[2])
