"""When weights and parameters are on chip, and where: a ring through the scratchpad, planned over all packets.

Each use of a key (a chunk of weights, a group of parameters) finds it resident or causes a load. A load goes
to the head of the ring and may be issued as soon as the packets that use what it overwrites are issued.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from vlac.errors import AllocationError

__all__ = ["Load", "Use", "plan_residency"]


@dataclass(frozen=True)
class Use:
    """Packet number `packet` reads `size` words of `key`."""

    packet: int
    key: Hashable
    size: int


@dataclass
class Load:
    """A load of `key` to word `base`, used by packets first..last; it may be issued after packet `after`."""

    key: Hashable
    base: int
    size: int
    first: int
    last: int
    after: int


def plan_residency(uses: Sequence[Use], capacity: int, memory: str) -> tuple[list[Load], dict[int, int]]:
    """The loads in order, and for each packet the word its key starts at.

    Raises:
        AllocationError: a key larger than the memory.
    """
    loads: list[Load] = []
    resident: dict[Hashable, Load] = {}
    bases: dict[int, int] = {}
    head = 0
    for use in uses:
        load = resident.get(use.key)
        if load is None:
            if use.size > capacity:
                raise AllocationError(
                    f"one packet needs {use.size} words of the {memory}, which has {capacity}; "
                    "use a config with more memory or a narrower layer"
                )
            head = 0 if head + use.size > capacity else head
            out = [r for r in resident.values() if head < r.base + r.size and r.base < head + use.size]
            load = Load(use.key, head, use.size, use.packet, use.packet, max((r.last for r in out), default=-1))
            for r in out:
                del resident[r.key]
            resident[use.key] = load
            loads.append(load)
            head += use.size
        load.last = use.packet
        bases[use.packet] = load.base
    return loads, bases
