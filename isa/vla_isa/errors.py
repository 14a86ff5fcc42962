"""Errors a user can cause, each naming the thing, the value, the limit and what to do.

Every package of this project raises subclasses of `VlaError` for bad input; the command lines
print the message and exit with `exit_code`. Anything else that escapes is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadUsageError",
    "ConfigError",
    "EncodingError",
    "HazardError",
    "IndexRangeError",
    "InputError",
    "OutputError",
    "ProgramError",
    "VlaError",
    "check_type",
    "did_you_mean",
]


class VlaError(Exception):
    """Input refused with a reason (exit code 1)."""

    exit_code = 1


class BadUsageError(VlaError):
    """The command line itself is wrong (exit code 2)."""

    exit_code = 2


class ConfigError(VlaError):
    """A hardware config is unknown, incomplete or inconsistent."""


class EncodingError(VlaError):
    """A packet or a line of assembly cannot be encoded or decoded."""


class ProgramError(VlaError):
    """A program image is damaged, truncated, foreign or newer."""


class HazardError(VlaError):
    """A program's queues and semaphores do not order its memory accesses."""


class IndexRangeError(VlaError):
    """An item or an index register is not below its declared count: the machine stops with INDEX_RANGE."""


class InputError(VlaError):
    """An input array is missing, unknown, or has the wrong shape, dtype or values."""


class OutputError(VlaError):
    """An output file or folder cannot be written."""


def did_you_mean(found: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of a message about an unknown name: the known one that is nearest, or `otherwise` where none is near."""
    near = difflib.get_close_matches(found, list(known), 1)
    return f" Did you mean '{near[0]}'?" if near else otherwise and f" {otherwise}"


def check_type(argument: str, value: object, wanted: str, *types: type) -> None:
    """Refuse an argument of a Python call that is nothing of what it may be.

    Raises:
        TypeError: names the argument, what it may be and what was found.
    """
    if not isinstance(value, types):
        raise TypeError(f"{argument} must be {wanted}, not {type(value).__name__} ({value!r:.60})")
