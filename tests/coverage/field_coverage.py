"""Which classes of values, and which combinations, occur in conformance programs that run to HALT.

Input: the packets that the programs of T1 and T2 execute, decoded; nothing is simulated. A COPY of size zero
moves nothing, so only its counts, its move and its semaphores count. What is missing must have a reason in
field_reasons.toml, and a reason must be about something that is missing.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from value_classes import classes, measure

from vla_isa import hardware
from vla_isa.encoding import decode
from vla_isa.generated.codes import (
    BKind,
    GatherIndex,
    MaskMode,
    Move,
    OperandKind,
    PoolMode,
    ReduceFunction,
    RowFunction,
    RowMode,
    ScaleBy,
    SetSource,
    VecFunction,
)
from vla_isa.instructions import BY_NAME, TABLE, ErrorCode
from vla_isa.instructions.shared_fields import REGION_FIELDS
from vla_isa.packet import Packet
from vla_isa.trace import packets, walk
from vlarun.conformance import runner
from vlarun.conformance.runner import Choice

__all__ = ["CONFIGS", "PROGRAMS", "Combination", "Row", "combinations", "executed", "problems", "reasons", "rows"]

CONFIGS = ("tiny", "u50")
SUITES = ("T1", "T2")
PROGRAMS = 80
REASONS = Path(__file__).with_name("field_reasons.toml")
OF_AN_EMPTY_COPY = ("move", "n0", "n1", "n2", "n3", "wait", "signal")
_SCALES_B = (VecFunction.ADD, VecFunction.SUB, VecFunction.MAX, VecFunction.MIN)
MATRIX = ("base", "row_stride", "pitch")
INDEX = ("index_register", "index_count", "index_stride")
# fields, and packets in which they have no effect
IDLE: dict[str, tuple[tuple[tuple[str, ...], Callable[[Packet], bool]], ...]] = {
    "CONV": (
        (("table_base",), lambda p: not p["table_enable"]),
        (("mask_base", "mask_empty"), lambda p: p["mask_mode"] != MaskMode.MASK),
        (tuple(f"res_{r}" for r in REGION_FIELDS), lambda p: not p["residual_enable"]),
    ),
    "GEMM": (
        (("table_base",), lambda p: not p["table_enable"]),
        (("out_zero", "lo", "hi"), lambda p: p["out_bytes"]),
        (("param_base",), lambda p: p["scale_by"] == ScaleBy.ROW),
        (("row_base",), lambda p: not p["row_max"] and p["scale_by"] != ScaleBy.ROW),
        (("row_batch_stride",), lambda p: p["batch"] < 2 or (not p["row_max"] and p["scale_by"] != ScaleBy.ROW)),
        (tuple(f"res_{r}" for r in (*MATRIX, "batch_stride")), lambda p: not p["res_kind"]),
        (("res_row_stride",), lambda p: p["res_kind"] == OperandKind.ROW),
        (("limit", "limit_step"), lambda p: not p["row_max"]),
    ),
    "ROW": (
        (("out_zero", "lo", "hi"), lambda p: p["out_bytes"]),
        (("table_base",), lambda p: not p["table_mode"]),
        (("row_base",), lambda p: not p["row_mode"]),
        (("row_k",), lambda p: p["row_mode"] != RowMode.RECORD),
        (("param_base",), lambda p: p["function"] != RowFunction.CHANNEL),
        (("a_zero", "b_zero"), lambda p: p["function"] == RowFunction.PAIRS),
        (("a_mult", "shift"), lambda p: p["function"] == RowFunction.CHANNEL),
        (("b_zero", "b_bytes", *(f"b_{r}" for r in MATRIX)), lambda p: not p["b_kind"]),
        (("c_mult", "c_shift", "c_bytes", *(f"c_{r}" for r in MATRIX)), lambda p: not p["c_kind"]),
        (("b_row_stride",), lambda p: p["b_kind"] == OperandKind.ROW),
        (("c_row_stride",), lambda p: p["c_kind"] == OperandKind.ROW),
        (("reduce_base",), lambda p: not p["reduce"]),
    ),
    "REDUCE": (
        (("k", "out_row_stride", "out_pitch"), lambda p: p["function"] != ReduceFunction.TOPK_MASK),
        (("in_zero",), lambda p: p["function"] in (ReduceFunction.ARGMAX, ReduceFunction.TOPK_MASK)),
    ),
    "GATHER": (
        (("index_base",), lambda p: p["index_kind"] == GatherIndex.RANGE),
        (("first",), lambda p: p["index_kind"] == GatherIndex.ITEMS),
        (INDEX, lambda p: not p["index_enable"]),
    ),
    "SET": (
        (("immediate",), lambda p: p["source"] == SetSource.ITEM),
        (("base", "count"), lambda p: p["source"] == SetSource.IMMEDIATE),
    ),
    "COPY": (
        (("pad",), lambda p: p["move"] != Move.FILL_ACT),
        (("src", *(f"src_stride{n}" for n in "123")), lambda p: p["move"] == Move.FILL_ACT),
        (
            ("src_ring", "src_slot"),
            lambda p: p["move"] not in (Move.ACT_TO_ACT, Move.ACT_TO_DATA, Move.ACT_TO_WEIGHT),
        ),
        (("dst_ring", "dst_slot"), lambda p: p["move"] not in (Move.DATA_TO_ACT, Move.ACT_TO_ACT, Move.FILL_ACT)),
        (("mask_base",), lambda p: not p["mask_enable"]),
        (("index_side", *INDEX), lambda p: not p["index_enable"]),
    ),
    "POOL": ((("in_zero", "count", "param_base", "rounding", "lo", "hi"), lambda p: p["mode"] == PoolMode.MAX),),
    "VEC": (
        (("table_base",), lambda p: not p["table_enable"]),
        (("b_scalar",), lambda p: p["b_kind"] != BKind.SCALAR),
        (tuple(f"b_{r}" for r in REGION_FIELDS), lambda p: p["b_kind"] == BKind.SCALAR),
        (
            ("b_kind", "b_zero", "b_scalar", *(f"b_{r}" for r in REGION_FIELDS)),
            lambda p: p["function"] == VecFunction.ABS,
        ),
        (("b_mult",), lambda p: p["function"] not in _SCALES_B),
    ),
}


@dataclass(frozen=True)
class Row:
    """A field on a config: names of its classes, in order, and of those that occur."""

    of: str
    config: str
    classes: tuple[str, ...]
    hit: frozenset[str]

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes that do not occur."""
        return tuple(c for c in self.classes if c not in self.hit)


@dataclass(frozen=True)
class Combination:
    """Fields of one instruction whose ranges should all occur together; `missing` are the ones that do not."""

    of: str
    bins: dict[str, list[str]]
    missing: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many combinations of ranges there are."""
        return len(list(itertools.product(*self.bins.values())))


@cache
def executed(config: str, without: str | None = None) -> tuple[Packet, ...]:
    """The packets of a config's programs that end well, as their paths execute them; `without` leaves a case out."""
    found = []
    for case in runner.collect(Choice("sim", config, SUITES, programs=PROGRAMS)):
        if case.status is ErrorCode.OK and case.id != without:
            entry, words = next(iter(case.program.entries.values())), packets(case.program)
            found += [decode(words[n]) for n in dict.fromkeys(step.number for step in walk(case.program, entry))]
    return tuple(found)


def _effective(packet: Packet) -> tuple[str, ...]:
    """The fields of a packet that have an effect."""
    if _moves_nothing(packet):
        return OF_AN_EMPTY_COPY
    idle = {name for names, without in IDLE.get(packet.name, ()) if without(packet) for name in names}
    return tuple(name for name in packet.values if name not in idle)


def _moves_nothing(packet: Packet) -> bool:
    return packet.name == "COPY" and 0 in (packet["n0"], packet["n1"], packet["n2"], packet["n3"])


def rows(config: str, packets: tuple[Packet, ...]) -> Iterator[Row]:
    """Every field of every implemented instruction, in the table's order."""
    hw = hardware.load(config)
    values: dict[str, set[int]] = {}
    for packet in packets:
        for name in _effective(packet):
            values.setdefault(f"{packet.name}.{name}", set()).add(packet[name])
    for ins in (i for i in TABLE if i.implemented):
        for one in ins.value_fields:
            of = f"{ins.name}.{one.name}"
            numbers = {measure(one, v) for v in values.get(of, ())}
            wanted = classes(ins.name, one, hw)
            hit = frozenset(c.name for c in wanted if any(map(c.holds, numbers)))
            yield Row(of, config, tuple(c.name for c in wanted), hit)


def combinations(packets: tuple[Packet, ...]) -> list[Combination]:
    """The declared combinations, each with what is missing."""
    out = []
    for entry in tomllib.loads(REASONS.read_text(encoding="utf-8"))["combination"]:
        bins: dict[str, list[str]] = entry["bins"]
        seen = {
            tuple(_bin(packet, name, ranges) for name, ranges in bins.items())
            for packet in packets
            if packet.name == entry["of"] and not _moves_nothing(packet)
        }
        missing = [c for c in itertools.product(*bins.values()) if c not in seen]
        out.append(Combination(entry["of"], bins, missing))
    return out


def _bin(packet: Packet, name: str, ranges: list[str]) -> str:
    """The range that a packet's value is in: "3", "2..15", or a name of the enumeration; "" if none."""
    enum, value = BY_NAME[packet.name].by_name[name].enum, packet[name]
    for text in ranges:
        low, _, high = text.partition("..")
        if text == enum[value] if enum else int(low) <= value <= int(high or low):
            return text
    return ""


def reasons() -> dict[tuple[str, str], str]:
    """Why a class of a field does not occur: (INSTRUCTION.field, class) -> sentence."""
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8"))["missing"]
    return {(of, name): e["why"] for e in entries for of in e["of"] for name in e["classes"]}


def problems(table: list[Row], pairs: dict[str, list[Combination]]) -> list[str]:
    """What nobody explained, and explanations of what is not missing; empty when all is well."""
    known = reasons()
    missing = {(row.of, name): row.config for row in table for name in row.missing}
    out = [f"{of} is never '{name}' on {config}" for (of, name), config in missing.items() if (of, name) not in known]
    out += [f"{of} is '{name}', but field_reasons.toml says why not" for of, name in known if (of, name) not in missing]
    for config, found in pairs.items():
        for one in found:
            out += [f"{one.of}: {dict(zip(one.bins, m, strict=True))} never occurs on {config}" for m in one.missing]
    return out
