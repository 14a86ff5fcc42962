"""Which episodes of a set are held out: the last ones."""

from __future__ import annotations

from vla_datasets.errors import CollectError

__all__ = ["check_fraction", "hold_out"]


def check_fraction(fraction: float) -> None:
    """Refuse a share of nothing or of all.

    Raises:
        CollectError: it is one.
    """
    if not 0.0 < fraction < 1.0:
        raise CollectError(f"--validation-fraction is {fraction}; it must be above 0 and below 1.")


def hold_out(episodes: int, fraction: float) -> dict[str, tuple[int, int]]:
    """Ranges of the splits "train" and "val" of two episodes or more; each has at least one."""
    held_out = min(episodes - 1, max(1, round(episodes * fraction)))
    return {"train": (0, episodes - held_out), "val": (episodes - held_out, episodes)}
