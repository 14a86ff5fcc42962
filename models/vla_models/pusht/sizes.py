"""Checks of the sizes that the Push-T policies share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vla_models.errors import PolicyError
from vla_models.sampling.noise_schedule import MOST_STEPS

__all__ = ["METHODS", "check_sizes"]

METHODS = ("flow", "diffusion", "direct")  # a chunk from noise, in steps of either kind, or at once


def check_sizes(
    policy: str,
    method: str,
    horizon: int,
    execute: int,
    sampler_steps: int,
    periods: Sequence[float],
    ensemble: float,
) -> None:
    """Refuse a chunk, a sampler, an observation or an ensemble that there cannot be.

    Raises:
        PolicyError: names the option, its value and what it must be.
    """
    if method not in METHODS:
        raise PolicyError(f"{policy}: 'method' is '{method}'; it must be one of {', '.join(METHODS)}.")
    if not 1 <= horizon <= 256:
        raise PolicyError(f"{policy}: 'horizon' is {horizon}; it must be from 1 to 256 steps.")
    if not 1 <= execute <= horizon:
        raise PolicyError(f"{policy}: 'execute' is {execute}; it must be from 1 to 'horizon', {horizon}.")
    most = MOST_STEPS if method == "diffusion" else 1000
    if not 1 <= sampler_steps <= most:
        raise PolicyError(f"{policy}: 'sampler_steps' is {sampler_steps}; it must be from 1 to {most}.")
    if len(periods) > 8 or not all(math.isfinite(p) and p > 0 for p in periods):
        raise PolicyError(f"{policy}: 'periods' is {list(periods)}; it must be at most 8 lengths above 0 px.")
    if not (math.isfinite(ensemble) and ensemble >= 0):
        raise PolicyError(f"{policy}: 'ensemble' is {ensemble}; it must be a finite number from 0 on.")
