"""Loads of weights: what a packet reads is on chip before it, whoever else began at the same word."""

from __future__ import annotations

import pytest

from vla_isa.generated.codes import Move
from vla_isa.hardware import load
from vlac.emit.prefetch import param_groups, with_loads
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


def gemm(words: tuple[int, int] | None, strips: int) -> RelocatablePacket:
    return RelocatablePacket("GEMM", {"h": 1, "m": strips * 8}, op="product", weights=words)


@pytest.mark.parametrize(("strips", "early"), [(1, False), (64, True)])
def test_what_is_read_behind_an_attention_is_loaded_behind_its_keys(strips: int, early: bool) -> None:
    """The copy of keys waits for its place in the queue of loads: not where the array is as fast as they are.

    Keys, queries, their product, then a layer: with many strips its load is done long before the keys are made.
    """
    copy = RelocatablePacket("COPY", {"move": Move.ACT_TO_WEIGHT}, op="keys")
    packets = [gemm((0, 100), strips), copy, gemm((100, 100), strips), gemm(None, strips), gemm((200, 100), strips)]
    found = with_loads(packets, [], 0, 8192, load("u50"))
    loads = {p.values["src"]: n for n, p in enumerate(found) if p.op == "load weights"}
    assert loads[0] < found.index(packets[0]) and loads[100] < found.index(copy)
    assert (loads[200] < found.index(copy)) == early
    assert loads[200] < found.index(packets[4])


def test_groups_of_parameters_grow() -> None:
    """The first operation alone; then 4, 8 and, at the limit, 12 words."""
    sizes = [(10, 1), *[(2, 1)] * 14]
    groups = [number for number, _ in param_groups(sizes, 12, 4)]
    assert groups == [0, 1, 1, 2, 2, 2, 2, *[3] * 6, 4, 4]
    assert [number for number, _ in param_groups(sizes, 12)] == [0, *[1] * 6, *[2] * 6, 3, 3]
