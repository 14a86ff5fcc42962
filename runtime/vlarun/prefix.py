"""The first packets of a program as a program: what a machine has done, and how long it took, up to a packet."""

from __future__ import annotations

from dataclasses import replace

from vla_isa.encoding import encode, make_packet
from vla_isa.fields import PACKET_BYTES
from vla_isa.program import Program, Segment

__all__ = ["stop_before"]


def stop_before(program: Program, number: int) -> Program:
    """The same program with a HALT in place of packet `number`.

    Every address stays. Semaphores may be left above zero, so a run may end with SEMAPHORE_LEFT; the packets
    before the HALT are complete all the same.
    """
    heaps, first = [], 0
    for heap in program.heaps:
        at, data = (number - first) * PACKET_BYTES, heap.data
        if 0 <= at < len(data):
            data = data[:at] + encode(make_packet("HALT")) + data[at + PACKET_BYTES :]
        heaps.append(Segment(heap.line, data))
        first += len(heap.data) // PACKET_BYTES
    return replace(program, heaps=heaps)
