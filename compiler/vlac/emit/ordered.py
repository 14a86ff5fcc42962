"""Packets with everything that orders them: semaphores, packets that only order others, and the ends of loops.

Not here: which semaphores (`semaphores.py`).
"""

from __future__ import annotations

from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.packet import Packet
from vlac.emit.rounds import closed_loops
from vlac.emit.semaphores import assign_semaphores
from vlac.ir.packet import RelocatablePacket

__all__ = ["in_order"]


def in_order(scheduled: list[RelocatablePacket], hw: HardwareConfig) -> tuple[list[Packet], list[RelocatablePacket]]:
    """Packets whose addresses are known, in order, and where each comes from."""
    placed = assign_semaphores([make_packet(p.name, **p.values) for p in scheduled], hw)
    sources = [_relay(scheduled[p.given]) if p.relays else scheduled[p.given] for p in placed]
    return closed_loops([p.packet for p in placed]), sources


def _relay(ordered: RelocatablePacket) -> RelocatablePacket:
    """Where a packet that only orders another one comes from."""
    return RelocatablePacket("COPY", {}, ordered.node, "order", stage=ordered.stage)
