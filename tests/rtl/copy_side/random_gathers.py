"""Random legal GATHER packets: ranges and items, rows and words that overlap, items that are no row.

Not here: running them (copy_bench.py). What is read on chip avoids the words that the bench's noise writes.
"""

from __future__ import annotations

import random

import numpy as np
from copy_side.copy_bench import NOISE_WORDS

from vla_isa.encoding import make_packet
from vla_isa.generated.codes import GatherIndex, GatherMove
from vla_isa.packet import Packet
from vlarun.memory import Machine

__all__ = ["MOST_WORDS", "place_items", "random_gather"]


def place_items(machine: Machine, word: int, items: list[int]) -> None:
    """Put items into the activation memory: their numbers, and other bytes behind them."""
    rng = np.random.default_rng(len(items))
    data = rng.integers(-128, 128, (len(items), 16), np.int8)
    data[:, :4] = np.array(items, "<i4").view(np.int8).reshape(-1, 4)
    words = data.reshape(-1, machine.hw.block)
    machine.act[word : word + len(words)] = words


MOST_WORDS = 1600  # that a packet takes of the activation memory


def random_gather(
    rng: random.Random, machine: Machine, move: GatherMove, at: int, data: tuple[int, int], wrong: float = 0.0
) -> tuple[Packet, int]:
    """A GATHER whose words of the activation memory lie from `at` on, its items among them; and their end.

    Args:
        rng: source of everything random.
        machine: its activation memory gets the items.
        move: which of the four.
        at: first word of the activation memory that it touches.
        data: first line, and end, of the data space that it may touch.
        wrong: how often an item is no row of the table.
    """
    hw, on_chip = machine.hw, move in (GatherMove.GATHER_ACT, GatherMove.SCATTER_ACT)
    n, words, ranges = rng.randint(1, 12), rng.choice((1, 2, 3, rng.randint(1, 40))), rng.random() < 0.3
    rows = rng.randint(n, n + 4) if ranges else rng.randint(1, 9)
    length = words if on_chip else -(-words * hw.block // 64)
    stride = rng.choice((length, length, length + rng.randint(1, 5), rng.randint(0, length)))
    pitch = rng.choice((n, n + 3, rng.randint(0, n)))
    table = stride * (rows - 1) + length
    fields = {"n": n, "words": words, "act_pitch": pitch, "table_stride": stride, "table_rows": rows, "act_base": at}
    at += pitch * (words - 1) + n
    fields["table_base"] = at if on_chip else rng.randint(data[0], data[1] - table)
    at += table if on_chip else 0
    if ranges:
        fields |= {"index_kind": GatherIndex.RANGE, "first": rng.randint(0, rows - n)}
    else:
        items = [rng.randrange(rows) for _ in range(n)]
        if rng.random() < wrong:
            items[rng.randrange(n)] = rng.choice((rows, -1, rows + 1, 1 << 20, -(1 << 31)))
        fields["index_base"] = at
        place_items(machine, at, items)
        at += n * 16 // hw.block
    assert at <= hw.act_words - NOISE_WORDS, "the activation memory is too small"
    return make_packet("GATHER", move=move, **fields), at
