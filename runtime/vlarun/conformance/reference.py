"""The slow reference: programs run by the executable meaning of the instructions, one packet after the other.

It shares nothing with `vlarun.execute`; both `sim` and the RTL are checked against it.
Not here: the meaning itself (`vla_isa/instructions/`).
"""

from __future__ import annotations

from vla_isa.encoding import decode
from vla_isa.fetch import Fetch, indexed, item_value
from vla_isa.fields import PACKET_BYTES
from vla_isa.generated.codes import SetSource
from vla_isa.instructions.shared_meaning import item
from vla_isa.memories import Memories
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.trace import MOST_STEPS
from vlarun.memory import load_data

__all__ = ["execute", "run"]


def execute(packet: Packet, memories: Memories) -> None:
    """Execute one legal packet; the output must not overlap the inputs unless it equals one of them."""
    packet.instruction.meaning(packet, memories)


def run(program: Program, entry: int = 0, stop_at: int | None = None, visits: int = 1) -> Memories:
    """Execute a program in program order from packet `entry` until HALT, or up to packet address `stop_at`.

    In a loop the packet at `stop_at` is reached several times: it stops before the one of number `visits`.

    Semaphores are not followed: a legal program never waits in this order.
    """
    memories = Memories(program.config, load_data(program), program.weights)
    fetch = Fetch(entry * PACKET_BYTES)
    for _ in range(MOST_STEPS):
        if fetch.address == stop_at and (visits := visits - 1) == 0:
            break
        packet = decode(memories.data[fetch.address :][:PACKET_BYTES].tobytes())
        values = fetch.values(packet)
        execute(packet if values is None else indexed(packet, values.start), memories)
        if packet.name == "HALT":
            break
        reads = packet.name == "SET" and packet["source"] == SetSource.ITEM
        fetch.advance(packet, item_value(packet, item(memories, packet["base"], 0)[0]) if reads else None)
    return memories
