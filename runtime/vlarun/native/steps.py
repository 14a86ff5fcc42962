"""From a packet and the memories it finds to steps of the library.

A packet that the library does not do as the machine does (an output that wraps, or that overlaps an input in another
place) gives None; it is then executed in numpy (`execute/`). Not here: which packets run (`backends/sim_plan.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from vla_isa.packet import Packet
from vlarun.memory import Machine
from vlarun.native import elementwise, moves, products, rows
from vlarun.native.step import NativeStep

__all__ = ["MAKERS", "make_step"]


def make_step(packet: Packet, machine: Machine, groups: int, *, computed: bool = False) -> list[NativeStep] | None:
    """The steps of a packet (none: it changes nothing), or None where the library does not do it.

    Args:
        packet: a legal packet.
        machine: with the weights and parameters that it finds.
        groups: the most groups of a tile.
        computed: its weights are not the machine's, but what steps put into the weight memory.

    Raises:
        DataSpaceError: the packet leaves the data space or the weight space.
    """
    if packet.name == "GEMM":
        return products.gemm(packet, machine, groups, computed=computed)
    maker = MAKERS.get(packet.name)
    return None if maker is None or computed else maker(packet, machine, groups)


MAKERS: dict[str, Callable[[Packet, Machine, int], list[NativeStep] | None]] = {
    "CONV": products.conv,
    "GEMM": products.gemm,
    "COPY": moves.copy,
    "GATHER": moves.gather,
    "VEC": elementwise.vec,
    "POOL": elementwise.pool,
    "ROW": rows.row,
    "REDUCE": rows.reduce,
    "RECIP": rows.recip,
    **{name: (lambda packet, machine, groups: []) for name in ("SET", "LOOP", "JUMP", "HALT")},
}
