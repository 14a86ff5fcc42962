"""ROW, REDUCE and RECIP as steps: operands that the library walks pixel by pixel.

Not here: what they compute (`kernels/row.h`, `kernels/reduce.h`).
"""

from __future__ import annotations

from vla_isa import numerics
from vla_isa.generated.codes import OperandKind, RecipBias, RecipFunction, ReduceFunction, RowFunction
from vla_isa.instructions.row import table_bytes
from vla_isa.numerics.reciprocal import ROM_RECIPROCAL, ROM_RSQRT
from vla_isa.packet import Packet
from vlarun.memory import Machine, Region, item_region, matrix_region
from vlarun.native.binding import Recip, Reduce, Row
from vlarun.native.step import Kind, NativeStep, disjoint, fits, matrix_of, within

__all__ = ["recip", "reduce", "row"]

_SAME = ("h", "m", "blocks", "channels", "function", "row_mode", "row_k", "a_mult", "c_mult", "c_shift", "shift")


def row(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    block = machine.hw.block
    regions = {p: _operand(packet, p, block) for p in ("a", "b", "c") if p == "a" or packet[f"{p}_kind"]}
    out = _operand(packet, "out", block)
    tensors = [r for p, r in regions.items() if p == "a" or packet[f"{p}_kind"] == OperandKind.TENSOR]
    others = [r for r in regions.values() if r not in tensors]
    rows = [_items(packet, "row_base", machine)] if packet["row_mode"] else []
    if not fits(machine, out, *tensors, same=True) or not fits(machine, out, *others, *rows, same=False):
        return None
    if packet["reduce"]:
        sums = _items(packet, "reduce_base", machine)
        if not fits(machine, sums, out, *regions.values(), same=False) or not fits(machine, sums, *rows, same=True):
            return None
    made = NativeStep(Kind.ROW, Row())
    r = made.what
    for name, region in (*regions.items(), ("out", out)):
        setattr(r, name, matrix_of(region))
        setattr(r, f"{name}_wide", packet[f"{name}_bytes"])
    for name in (*_SAME, "a_zero", "b_zero", "b_kind", "c_kind", "rounding", "lo", "hi", "table_mode", "reduce"):
        setattr(r, name, packet[name])
    r.block, r.zero = block, packet["out_zero"]
    r.row_base, r.reduce_base = packet["row_base"] * block, packet["reduce_base"] * block
    if packet["function"] == RowFunction.CHANNEL:
        words = machine.params_at(packet["param_base"], packet["blocks"]).reshape(-1, numerics.RECORD_BYTES)
        r.bias, r.mult, r.shifts = (made.pointer(part) for part in numerics.unpack_signed_records(words))
    if table_bytes(packet):
        r.table = made.pointer(machine.table_at(packet["table_base"], table_bytes(packet)))
    return [made]


def _operand(packet: Packet, p: str, block: int) -> Region:
    one = p in ("b", "c") and packet[f"{p}_kind"] == OperandKind.ROW
    h, m = (1, 1) if one else (packet["h"], packet["m"])
    return matrix_region(packet, p, (1, h, packet["blocks"], m), 1 + packet[f"{p}_bytes"], block)


def _items(packet: Packet, field: str, machine: Machine, count: int = 0) -> Region:
    return item_region(packet[field], count or packet["h"] * packet["m"], 1, 0, machine.hw.block)


def reduce(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    block, h, m, blocks = machine.hw.block, packet["h"], packet["m"], packet["blocks"]
    source = matrix_region(packet, "in", (1, h, blocks, m), 1 + packet["in_bytes"], block)
    mask = packet["function"] == ReduceFunction.TOPK_MASK
    out = matrix_region(packet, "out", (1, h, blocks, m), 1, block) if mask else _items(packet, "out_base", machine)
    if not fits(machine, out, source, same=False):
        return None
    made = NativeStep(Kind.REDUCE, Reduce())
    r = made.what
    r.input, r.out, r.block, r.wide, r.zero = (
        matrix_of(source),
        matrix_of(out),
        block,
        packet["in_bytes"],
        packet["in_zero"],
    )
    for name in ("h", "m", "blocks", "channels", "function", "k"):
        setattr(r, name, packet[name])
    made.scratch = blocks * block * 8
    return [made]


def recip(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    source, out = (_items(packet, field, machine, packet["n"]) for field in ("in_base", "out_base"))
    if not within(machine, source, out) or not (source == out or disjoint(source, out)):
        return None
    made = NativeStep(Kind.RECIP, Recip())
    r = made.what
    r.in_base, r.out_base, r.root = source.base, out.base, packet["function"] == RecipFunction.RSQRT
    for name in ("n", "mult", "shift", "add"):
        setattr(r, name, packet[name])
    r.minus_second = packet["bias"] == RecipBias.MINUS_SECOND
    r.rom = made.pointer(ROM_RSQRT if r.root else ROM_RECIPROCAL)
    return [made]
