"""LOOP: changes no memory; what it does is fetch's (see vla_isa/fetch.py)."""

from __future__ import annotations

from vla_isa.packet import Packet
from vlarun.memory import Machine

__all__ = ["execute"]


def execute(packet: Packet, machine: Machine) -> None:
    """Nothing: registers and loops are fetch's."""
