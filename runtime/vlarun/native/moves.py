"""COPY and GATHER as steps: regions on both sides, checked once.

Not here: loads of constant weights and of parameters, which are done when a program is planned.
"""

from __future__ import annotations

import numpy as np

from vla_isa.generated.codes import GatherIndex, GatherMove, Move
from vla_isa.hardware import LINE_BYTES
from vla_isa.numerics import ITEM_BYTES
from vla_isa.packet import Packet
from vlarun.execute.copy import sides
from vlarun.memory import Machine, Region, item_region
from vlarun.native.binding import Copy, Gather, Side
from vlarun.native.step import Kind, NativeStep, within

__all__ = ["copy", "gather"]

_ACT, _DATA, _WEIGHT = range(3)  # memories
_MOVES = {
    Move.DATA_TO_ACT: (_DATA, _ACT),
    Move.ACT_TO_ACT: (_ACT, _ACT),
    Move.FILL_ACT: (_ACT, _ACT),
    Move.ACT_TO_DATA: (_ACT, _DATA),
    Move.ACT_TO_WEIGHT: (_ACT, _WEIGHT),
    Move.DATA_TO_WEIGHT: (_DATA, _WEIGHT),
}


def copy(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    found, memories = sides(packet, machine), _MOVES.get(Move(packet["move"]))
    if found is None:
        return []
    source, to = found
    if memories is None or to.overlaps_itself():
        return None
    sizes = {_ACT: machine.act.size, _DATA: machine.data.size, _WEIGHT: machine.weight.size}
    for region, where in zip((source, to), memories, strict=True):
        if region is not None and region.end() > sizes[where]:
            return None
    made = NativeStep(Kind.COPY, Copy())
    c = made.what
    (c.outer, c.rows, c.blocks), c.inner = to.counts, to.inner
    c.to = _side(to, memories[1])
    if source is None:
        c.fill, c.value = 1, packet["pad"]
        return [made]
    c.source = _side(source, memories[0])
    c.square = machine.hw.block if packet["unit"] else 0
    c.overlap = memories == (_ACT, _ACT) and source.base < to.end() and to.base < source.end()
    made.scratch = int(np.prod(to.shape)) if c.overlap else 0
    return [made]


def _side(region: Region, where: int) -> Side:
    return Side(where, region.base, *region.strides, region.ring, region.slot)


def gather(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    word, n, words = machine.hw.act_word_bytes, packet["n"], packet["words"]
    in_data = packet["move"] in (GatherMove.GATHER_DATA, GatherMove.SCATTER_DATA)
    by_items = packet["index_kind"] == GatherIndex.ITEMS
    rows = packet["table_rows"] if by_items else packet["first"] + n
    unit, size = (LINE_BYTES, machine.data.size) if in_data else (word, machine.act.size)
    base, stride = packet["table_base"] * unit, packet["table_stride"] * unit
    place = Region(packet["act_base"] * word, (1, 1, words), (0, 0, packet["act_pitch"] * word), n * word)
    items = item_region(packet["index_base"], n, 1, 0, word)
    end = base + (rows - 1) * stride + words * word
    if not within(machine, place, *([items] if by_items else [])) or end > size:
        return None
    made = NativeStep(Kind.GATHER, Gather())
    g = made.what
    g.in_data, g.by_items = in_data, by_items
    g.scatter = packet["move"] in (GatherMove.SCATTER_ACT, GatherMove.SCATTER_DATA)
    g.table_base, g.table_stride, g.table_rows, g.index_base = base, stride, rows, items.base
    g.first, g.n, g.words, g.word_bytes = packet["first"], n, words, word
    g.act_base, g.act_pitch = place.base, packet["act_pitch"] * word
    g.overlap = not in_data and base < place.end() and place.base < end
    made.scratch = 8 * n + (n * words * word if g.overlap else 0)
    assert ITEM_BYTES == 16  # as memory.h has it
    return [made]
