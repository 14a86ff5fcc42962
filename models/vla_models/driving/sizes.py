"""Checks that the configs of the driving policies share."""

from __future__ import annotations

from collections.abc import Sequence

from vla_models.driving.names import WORLD_SIZE
from vla_models.errors import PolicyError

__all__ = ["check_sizes"]


def check_sizes(policy: str, channels: Sequence[int], strides: Sequence[int], side: int, widths: Sequence[int]) -> None:
    """Refuse sizes that make no network.

    Raises:
        PolicyError: names the option, its value and what it may be.
    """
    if not channels or len(channels) != len(strides):
        raise PolicyError(
            f"{policy}: 'channels' has {len(channels)} entries and 'strides' {len(strides)}; give as many."
        )
    if not all(stride in (1, 2) for stride in strides):
        raise PolicyError(f"{policy}: 'strides' is {tuple(strides)}; each must be 1 or 2.")
    if side < 8 or WORLD_SIZE % side:
        raise PolicyError(f"{policy}: 'image_size' is {side}; it must be at least 8 and divide {WORLD_SIZE}.")
    if not all(isinstance(size, int) and 1 <= size <= 4096 for size in (*channels, *widths)):
        raise PolicyError(f"{policy}: every width must be an integer from 1 to 4096; found {(*channels, *widths)}.")
