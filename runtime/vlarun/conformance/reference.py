"""The slow reference: programs run by the executable meaning of the instructions, one packet after the other.

It shares nothing with `vlarun.execute`; both `sim` and the RTL are checked against it.
Not here: the meaning itself (`vla_isa/instructions/`).
"""

from __future__ import annotations

from vla_isa.encoding import decode
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import LINE_BYTES
from vla_isa.memories import Memories
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.memory import load_data

__all__ = ["execute", "run"]


def execute(packet: Packet, memories: Memories) -> None:
    """Execute one legal packet; the output must not overlap the inputs unless it equals one of them."""
    packet.instruction.meaning(packet, memories)


def run(program: Program, entry: int = 0, stop_at: int | None = None) -> Memories:
    """Execute a program in program order from packet `entry` until HALT, or up to packet address `stop_at`.

    Semaphores are not followed: a legal program never waits in this order.
    """
    memories = Memories(program.config, load_data(program), program.weights)
    address = entry * PACKET_BYTES
    while address != stop_at:
        packet = decode(memories.data[address : address + PACKET_BYTES].tobytes())
        execute(packet, memories)
        if packet.name == "HALT":
            break
        address = packet["target"] * LINE_BYTES if packet.name == "JUMP" else address + PACKET_BYTES
    return memories
