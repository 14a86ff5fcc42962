"""JUMP: touches no memory; fetch goes on at `target` (see backends/sim.py)."""

from __future__ import annotations

from vla_isa.packet import Packet
from vlarun.memory import Machine

__all__ = ["execute"]


def execute(packet: Packet, machine: Machine) -> None:
    """Nothing: the next address is the backend's."""
