"""HALT: touches no memory; the backend ends the run with its code (see backends/sim.py)."""

from __future__ import annotations

from vla_isa.packet import Packet
from vlarun.memory import Machine

__all__ = ["execute"]


def execute(packet: Packet, machine: Machine) -> None:
    """Nothing: ending the run is the backend's."""
