"""The instructions of each node of a program, put together by what they do: an attention is one node of many parts."""

from __future__ import annotations

from dataclasses import dataclass

from vla_isa import timing
from vla_isa.generated.codes import (
    Move,
    RecipFunction,
    ReduceFunction,
    RowFunction,
    RowMode,
    RowTable,
    ScaleBy,
    Unit,
)
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.trace import walk

__all__ = ["Part", "part_name", "parts"]

_MOVES = {
    Move.DATA_TO_ACT: "loaded",
    Move.ACT_TO_ACT: "copied",
    Move.FILL_ACT: "filled",
    Move.DATA_TO_PARAM: "parameters loaded",
    Move.WEIGHT_TO_WEIGHT: "weights loaded",
    Move.ACT_TO_DATA: "stored",
    Move.ACT_TO_WEIGHT: "copied to weights",
    Move.DATA_TO_WEIGHT: "weights loaded",
}


@dataclass
class Part:
    """Instructions of one kind that work for a node: how many, their cycles (they overlap others'), their MACs."""

    name: str
    op: str
    queue: str
    packets: int = 0
    cycles: int = 0
    macs: int = 0


def parts(program: Program) -> dict[str, list[Part]]:
    """By node, in the order of their first instruction."""
    nodes = {s.packet: s.node for s in program.sources if s.node}
    names = {s.number: part_name(s.packet) for s in walk(program, next(iter(program.entries.values())))}
    found: dict[str, dict[tuple[str, str], Part]] = {}
    for p in timing.estimate(program).packets:
        if p.number not in nodes:
            continue
        name = names[p.number]
        part = found.setdefault(nodes[p.number], {}).setdefault((name, p.op), Part(name, p.op, p.queue))
        part.packets, part.cycles, part.macs = part.packets + 1, part.cycles + p.cycles, part.macs + p.macs
    return {node: list(each.values()) for node, each in found.items()}


def part_name(packet: Packet) -> str:
    """What an instruction does, in words."""
    if packet.name == "GEMM":
        return _product(packet)
    if packet.name == "ROW":
        return _row(packet)
    if packet.name == "RECIP":
        return "1 / root" if packet["function"] == RecipFunction.RSQRT else "1 / sum"
    if packet.name == "REDUCE":
        return ReduceFunction(packet["function"]).name.lower().replace("_", " ")
    if packet.name == "COPY":
        return "transposed" if packet["unit"] == Unit.TRANSPOSE else _MOVES[Move(packet["move"])]
    return packet.name.lower()


def _product(packet: Packet) -> str:
    if packet["row_max"]:
        return "logits, maxima"
    if packet["scale_by"] == ScaleBy.ROW:
        return "mix of values"
    return "product, sum" if packet["res_kind"] else "product"


def _row(packet: Packet) -> str:
    if packet["row_mode"] == RowMode.RECORD:
        return "normalized"
    if packet["row_mode"] == RowMode.LESS:
        return "exponents, sums" if packet["table_mode"] else "less maxima"
    if packet["table_mode"] == RowTable.IN16:
        return "function by lines" if not packet["reduce"] else "exponents, sums"
    if packet["function"] == RowFunction.MUL:
        return "elements multiplied"
    if packet["function"] == RowFunction.CHANNEL:
        return "channels scaled"
    return "sum" if packet["c_kind"] else "rescaled"
