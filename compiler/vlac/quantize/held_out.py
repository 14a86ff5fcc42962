"""Which calibration samples set no range, so that a program can be measured on data it has not seen.

Not here: the measurement (`verify/`).
"""

from __future__ import annotations

from vlac.quantize.calibration import Samples

__all__ = ["split"]

_EVERY = 5


def split(samples: Samples, source: object) -> tuple[Samples, Samples]:
    """Samples to calibrate with, and every fifth one, held out; none of fewer than five, nor of random numbers.

    Args:
        samples: all of them, in order: neighbours are often alike, so those held out lie between the others.
        source: what `--calib` was given; of random numbers there are always more.
    """
    if isinstance(source, str) and source.split(":")[0] == "random":
        return samples, []
    held = samples[_EVERY - 1 :: _EVERY]
    return [s for i, s in enumerate(samples) if (i + 1) % _EVERY], held
