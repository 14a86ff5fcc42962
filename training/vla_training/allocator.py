"""Memory that a step of training gives back stays with the process, for the next step.

glibc returns what is freed at its end, and what was larger than some MB, to the system; the next step then gets it back
as pages that the system has to clear. Of the rover's policy, 256 pictures a step, that was a third of the time.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h
_LARGEST = 2**31 - 1


def keep_memory() -> bool:
    """From now on; False where the C library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(
        mallopt(what, value) for what, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, 1 << 26))
    )
