"""Costs of the packets of a run, each made when it is asked for.

What a packet touches of the scratchpad takes some hundred KB of a large one, so it is kept of the last packets alone,
and made again for a loop that has more.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from vla_isa.cost import Cost, Timing, Touches
from vla_isa.engine_cycles import packet_cost
from vla_isa.hardware import HardwareConfig
from vla_isa.packet import Packet
from vla_isa.trace import Step

__all__ = ["RunCosts"]

_KEPT = 1 << 13  # packets


class RunCosts:
    """Of a run's packets by their number in it. Equal packets of a loop's rounds are one."""

    def __init__(self, hw: HardwareConfig, timing: Timing) -> None:
        self._hw, self._timing = hw, timing
        self._places: list[int] = []  # of each packet of the run, in `_packets`
        self._packets: list[Packet] = []
        self._latest: dict[int, int] = {}  # place of a packet of the program, as it ran last
        self._masked: dict[int, Cost] = {}  # which the parameter memory decides as it is when they run
        self._last: OrderedDict[int, Cost] = OrderedDict()
        self._plain: dict[int, Cost] = {}  # all that were asked for, without what they touch

    def add(self, step: Step) -> None:
        """The next packet of the run."""
        place, masked = self._latest.get(step.number), bool(step.packet.instruction.mask_words(step.packet))
        if place is None or masked or self._packets[place] != step.packet:
            place = self._latest[step.number] = len(self._packets)
            self._packets.append(step.packet)
            if masked:
                self._masked[place] = packet_cost(step.packet, self._hw, step.params, self._timing)
        self._places.append(place)

    def __getitem__(self, index: int) -> Cost:
        """Of packet `index` of the run."""
        place = self._places[index]
        if place in self._masked:
            return self._masked[place]
        if place in self._last:
            self._last.move_to_end(place)
            return self._last[place]
        cost = self._last[place] = packet_cost(self._packets[place], self._hw, None, self._timing)
        self._plain.setdefault(place, replace(cost, touches=Touches()))
        if len(self._last) > _KEPT:
            self._last.popitem(last=False)
        return cost

    def plain(self) -> list[Cost]:
        """Of all packets that were asked for, in the order of the run; some lack what they touch."""
        return [self._masked.get(place) or self._plain.get(place) or self[i] for i, place in enumerate(self._places)]
