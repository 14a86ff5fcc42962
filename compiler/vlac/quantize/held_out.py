"""Which calibration samples a quantization is measured on that has not seen them.

A program has the ranges of all samples; how well these generalize is told by the ranges of the others alone.
Not here: the measurement (`verify/`).
"""

from __future__ import annotations

from vlac.quantize.calibration import Samples

__all__ = ["split"]

_EVERY = 5


def split(samples: Samples, source: object) -> tuple[Samples, Samples]:
    """The samples without every fifth one, and those, held out; none of fewer than five, nor of random numbers.

    Args:
        samples: all of them, in order: neighbours are often alike, so those held out lie between the others.
        source: what `--calib` was given; of random numbers there are always more.
    """
    if isinstance(source, str) and source.split(":")[0] == "random":
        return samples, []
    held = samples[_EVERY - 1 :: _EVERY]
    return [s for i, s in enumerate(samples) if (i + 1) % _EVERY], held
