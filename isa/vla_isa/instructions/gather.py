"""GATHER: rows of a table by their numbers, in either direction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.access import Access, Params
from vla_isa.bursts import line_bursts
from vla_isa.cost import Cost, Timing
from vla_isa.engine_cycles import busiest_bank, master_cost
from vla_isa.errors import IndexRangeError
from vla_isa.fields import Field, Rule, pack_fields
from vla_isa.footprint import access, item_words, require_fit
from vla_isa.generated import codes
from vla_isa.hardware import BEAT_BYTES, LINE_BYTES, HardwareConfig
from vla_isa.instructions.shared_fields import header, index
from vla_isa.instructions.shared_meaning import item
from vla_isa.intervals import Intervals
from vla_isa.memories import Memories
from vla_isa.operands import Arena, Operands, Rng, Values, draw_items, draw_number
from vla_isa.packet import Instruction, Packet

__all__ = ["GATHER", "check_rows"]

_MOVES = ("gather_act", "scatter_act", "gather_data", "scatter_data")


def _in_data(packet: Packet) -> bool:
    return packet["move"] in (codes.GatherMove.GATHER_DATA, codes.GatherMove.SCATTER_DATA)


def _scatters(packet: Packet) -> bool:
    return packet["move"] in (codes.GatherMove.SCATTER_ACT, codes.GatherMove.SCATTER_DATA)


def _act_bases(packet: Packet) -> tuple[str, ...]:
    items = ("index_base",) if packet["index_kind"] == codes.GatherIndex.ITEMS else ()
    return ("act_base", *items, *(() if _in_data(packet) else ("table_base",)))


def _row_words(packet: Packet, hw: HardwareConfig) -> int:
    """Words or lines of a row of the table."""
    return -(-packet["words"] * hw.act_word_bytes // LINE_BYTES) if _in_data(packet) else packet["words"]


def _table(packet: Packet, hw: HardwareConfig) -> Intervals:
    """The rows that it may touch: a range is known, items stand for all rows."""
    v, length = packet.values, _row_words(packet, hw)
    known = v["index_kind"] == codes.GatherIndex.RANGE
    first, count = (v["first"], v["n"]) if known else (0, v["table_rows"])
    if v["table_stride"] <= length:  # they follow one another
        start = v["table_base"] + first * v["table_stride"]
        return np.array([[start, start + (count - 1) * v["table_stride"] + length]])
    starts = v["table_base"] + (first + np.arange(count)) * v["table_stride"]
    return np.stack([starts, starts + length], axis=1)


def _footprint(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    require_fit(packet, "act", v["n"] * v["words"], hw.act_words, "activation scratchpad")
    if v["index_kind"] == codes.GatherIndex.ITEMS:
        yield access("act", False, "index", item_words(packet, "index_base", v["n"], hw))
    starts = v["act_base"] + np.arange(v["words"]) * v["act_pitch"]
    rows = access("act", not _scatters(packet), "act", np.stack([starts, starts + v["n"]], axis=1))
    table = access("data" if _in_data(packet) else "act", _scatters(packet), "table", _table(packet, hw))
    repeated = v["index_kind"] == codes.GatherIndex.RANGE and v["n"] > 1 and v["table_stride"] < _row_words(packet, hw)
    yield rows
    yield Access(table.space, table.write, table.words, table.role, repeated)


def _cost(packet: Packet, hw: HardwareConfig, params: Params | None, timing: Timing) -> Cost:
    """Rows of a range may continue each other in the data space; items stand for rows that do not.

    Items are read to be checked, then again while rows move; on chip both take the lanes of one reader.
    """
    v, store = packet.values, packet["move"] == codes.GatherMove.SCATTER_DATA
    ranges = v["index_kind"] == codes.GatherIndex.RANGE
    check = 0 if ranges else v["n"] + timing.gather_items
    if not _in_data(packet):
        lanes = hw.in_masters * BEAT_BYTES // hw.act_word_bytes
        setup = timing.local_setup + timing.gather_setup - (0 if ranges else timing.gather_first)
        work = v["n"] * _row_cycles(packet, lanes) + (0 if ranges else max(check, 2 * v["n"]) + timing.gather_first)
        return Cost(setup + work, "memory", setup=setup, kind="gather")
    step = v["table_stride"] if ranges else max(v["table_stride"], _row_words(packet, hw) + 1)
    lines = v["table_base"] + (v["first"] + np.arange(v["n"])) * step
    latency = timing.write_latency if store else timing.read_latency
    beats = -(-v["words"] * hw.act_word_bytes // BEAT_BYTES)
    bursts = line_bursts(lines, beats, timing, write=store)
    row = _row_cycles(packet, BEAT_BYTES // hw.act_word_bytes)
    if not store and step == _row_words(packet, hw):  # a burst of several rows has the padding between them
        row += LINE_BYTES // BEAT_BYTES * step - beats
    bursts = replace(bursts, cycles=max(bursts.cycles, v["n"] * row) + check)
    setup = latency + bursts.first + (timing.store_setup if store else timing.load_setup) + timing.gather_setup
    bound = "latency" if bursts.waits or bursts.cycles < latency else "memory"
    if store:
        return Cost(setup + bursts.cycles, bound, setup=setup, write_beats=bursts.beats)
    return master_cost(bursts, setup, bound, timing, kind="gather")


def _row_cycles(packet: Packet, lanes: int) -> int:
    """Cycles of a row in the scratchpad: so many words in each, of which those in one bank take turns."""
    words = np.full(-(-packet["words"] // lanes) * lanes, -1, np.int64)
    words[: packet["words"]] = np.arange(packet["words"]) * packet["act_pitch"]
    return int(busiest_bank(words, lanes).sum())


def check_rows(packet: Packet, rows: NDArray[np.int64]) -> None:
    """Refuse row numbers outside the table, before anything moves.

    Raises:
        IndexRangeError: the first one.
    """
    bad = np.flatnonzero((rows < 0) | (rows >= packet["table_rows"]))
    if len(bad):
        raise IndexRangeError(
            f"GATHER: item {bad[0]} is {rows[bad[0]]}, outside the {packet['table_rows']} rows of its table"
        )


def _meaning(packet: Packet, memories: Memories) -> None:
    """Read all rows in order, then write them in order."""
    hw = memories.hw
    if packet["index_kind"] == codes.GatherIndex.RANGE:
        rows = packet["first"] + np.arange(packet["n"])
    else:
        values = [item(memories, packet["index_base"], i)[0] for i in range(packet["n"])]
        rows = numerics.item_index(np.array(values))
    check_rows(packet, rows)
    table, size = (memories.data, 1) if _in_data(packet) else (memories.act.reshape(-1), hw.act_word_bytes)
    unit = LINE_BYTES if _in_data(packet) else size
    ends = table.size if _in_data(packet) else hw.act_words * hw.act_word_bytes
    moved = []
    for i, r in enumerate(rows.tolist()):
        for w in range(packet["words"]):
            byte = (packet["table_base"] + r * packet["table_stride"]) * unit + w * hw.act_word_bytes
            act = (packet["act_base"] + w * packet["act_pitch"] + i) % hw.act_words * hw.act_word_bytes
            here, there = (act, byte) if _scatters(packet) else (byte, act)
            source = memories.act.reshape(-1) if _scatters(packet) else table
            at = here % ends if not _scatters(packet) else here
            moved.append((there, source[at : at + hw.act_word_bytes].copy()))
    target = table if _scatters(packet) else memories.act.reshape(-1)
    for there, word in moved:
        at = there % ends if _scatters(packet) else there
        target[at : at + hw.act_word_bytes] = word


def _draw(rng: Rng, arena: Arena, **fixed: int) -> Values:
    """A GATHER on chip; data_cases have those of the data space. Choices: any field."""
    inside = (codes.GatherMove.GATHER_ACT, codes.GatherMove.SCATTER_ACT)
    v: Values = {
        "move": int(inside[draw_number(rng, 0, 1)]),
        "index_kind": draw_number(rng, 0, 1),
        "table_rows": draw_number(rng, 1, 12),
        "words": draw_number(rng, 1, 4),
        "n": draw_number(rng, 1, 9),
        **fixed,
    }
    if v["index_kind"] == codes.GatherIndex.RANGE:
        v["n"] = fixed.get("n", min(v["n"], v["table_rows"]))
        v.setdefault("first", draw_number(rng, 0, v["table_rows"] - v["n"]))
    else:
        v["index_base"] = arena.take_act(v["n"] * numerics.ITEM_BYTES // arena.hw.act_word_bytes)
        arena.put_act(v["index_base"], draw_items(rng, v["n"], 0, v["table_rows"] - 1))
    v["table_stride"] = v["words"] + draw_number(rng, 0, 2)
    v["act_pitch"] = v["n"] + draw_number(rng, 0, 2)
    v["table_base"] = arena.take_act(v["table_rows"] * v["table_stride"])
    v["act_base"] = arena.take_act(v["words"] * v["act_pitch"])
    return v


GATHER = Instruction(
    name="GATHER",
    opcode=0x08,
    queue="move",  # by the memory that is written
    queues=("load", "load", "load", "store"),
    summary="Rows of a table, read (gather) or written (scatter), by items or by a range of numbers: embeddings, "
    "caches, experts. Row r of the table starts at table_base + r * table_stride, in activation words or data lines; "
    "its words follow one another. Word w of the i-th moved row is activation word act_base + w * act_pitch + i. Its "
    "number is first + i, or the low 32 bits of item i, signed; all are checked before anything moves. Rows move in "
    "order. With index_enable table_base is further by index_register * index_stride.",
    fields=pack_fields(
        [
            *header(),
            Field("move", 2, "rows read or written, and the table's memory", enum=_MOVES, code="GatherMove"),
            Field("table_base", 32, "activation word or data line of row 0"),
            Field("table_stride", 22, "words or lines between rows"),
            Field("table_rows", 20, "rows; a number that is not below stops the machine with INDEX_RANGE", minimum=1),
            Field("index_kind", 1, "where row numbers come from", enum=("items", "range"), code="GatherIndex"),
            Field("index_base", 20, "activation word of the items", below="act_words"),
            Field("first", 20, "first row of a range"),
            Field("n", 14, "rows moved", minimum=1),
            Field("words", 12, "activation words of a row: channel blocks times bytes", minimum=1),
            Field("act_base", 20, "activation word of the moved rows: word 0, row 0", below="act_words"),
            Field("act_pitch", 14, "words between the words of a row"),
            *index("table_base"),
        ]
    ),
    rules=(Rule("index_kind == 0 || first + n <= table_rows", "a range lies inside the table"),),
    footprint=_footprint,
    cost=_cost,
    meaning=_meaning,
    act_bases=_act_bases,
    operands=Operands(_draw, inputs=("act_base",), output="table_base"),
)
