"""Loads of weights: what a packet reads is on chip before it, whoever else began at the same word."""

from __future__ import annotations

from vla_isa.generated.codes import Move
from vla_isa.hardware import load
from vlac.emit.prefetch import with_loads
from vlac.ir.packet import RelocatablePacket


def test_words_of_two_sizes_that_begin_alike_are_two_loads() -> None:
    """A layer's second part may begin where its first one did and read on: the shorter load does not do for it."""
    packets = [RelocatablePacket("CONV", {}, op="conv", weights=(8, size)) for size in (2, 6, 2)]
    found = with_loads(packets, [], 0, 64, load("tiny"))
    held: dict[int, int] = {}  # word of the scratchpad -> word of the weight space
    for packet in found:
        if packet.name == "COPY" and packet.values["move"] == Move.WEIGHT_TO_WEIGHT:
            held |= {packet.values["dst"] + i: packet.values["src"] + i for i in range(packet.values["n0"])}
        elif packet.weights is not None:
            first, size = packet.weights
            assert [held.get(packet.values["weight_base"] + i) for i in range(size)] == [*range(first, first + size)]
    assert len(found) > len(packets)
