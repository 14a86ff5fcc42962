"""GATHER: rows of a table by items or a range, in either direction."""

from __future__ import annotations

import numpy as np

from vla_isa import numerics
from vla_isa.generated.codes import GatherIndex, GatherMove
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions.gather import check_rows
from vla_isa.packet import Packet
from vlarun.errors import DataSpaceError
from vlarun.memory import Machine

__all__ = ["execute"]


def execute(packet: Packet, machine: Machine) -> None:
    """Read all rows, then write them; the last of two writes stays.

    Raises:
        IndexRangeError: an item is no row of the table.
        DataSpaceError: a row leaves the data space.
    """
    block, words, n = machine.hw.block, packet["words"], packet["n"]
    rows = packet["first"] + np.arange(n)
    if packet["index_kind"] == GatherIndex.ITEMS:
        rows = numerics.item_index(numerics.unpack_items(machine.read_items(packet["index_base"], n))[0][0])
        check_rows(packet, rows)
    w = np.arange(words)
    place = (packet["act_base"] + w[:, None] * packet["act_pitch"] + np.arange(n)).T % machine.hw.act_words
    act = machine.act
    if packet["move"] in (GatherMove.GATHER_ACT, GatherMove.SCATTER_ACT):
        table = (packet["table_base"] + rows[:, None] * packet["table_stride"] + w) % machine.hw.act_words
        source, target = (table, place) if packet["move"] == GatherMove.GATHER_ACT else (place, table)
        act[target.reshape(-1)] = act[source].reshape(-1, block)
        return
    start = (packet["table_base"] + rows * packet["table_stride"]) * LINE_BYTES
    end = int(start.max()) + words * block
    if end > machine.data.size:
        raise DataSpaceError(
            f"the packet at 0x{machine.address:x} reaches byte {end} of the data, which has {machine.data.size}"
        )
    at = start[:, None] + np.arange(words * block)
    if packet["move"] == GatherMove.GATHER_DATA:
        act[place.reshape(-1)] = machine.data[at].reshape(-1, block)
    else:
        machine.data[at.reshape(-1)] = act[place].reshape(-1)
