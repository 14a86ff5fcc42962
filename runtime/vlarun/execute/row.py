"""ROW: an elementwise function over the pixels of matrices, whole matrices at a time in int64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import Element, OperandKind, RowFunction, RowMode, RowTable
from vla_isa.instructions.row import table_bytes
from vla_isa.integer import INT8
from vla_isa.packet import Packet
from vlarun.memory import Bytes, Machine

__all__ = ["execute"]

I64 = NDArray[np.int64]


def execute(packet: Packet, machine: Machine) -> None:
    """Read the operands, rows, records and table; write the output and the sums."""
    size = (1, packet["h"], packet["blocks"], packet["m"])
    raw = machine.read_matrix(packet, "a", size, wide=packet["a_bytes"] == Element.INT16).astype(np.int64)
    table = machine.table_at(packet["table_base"], table_bytes(packet))
    p = _function(packet, machine, _first(packet, machine, raw, table))
    column = np.arange(packet["blocks"] * machine.hw.block).reshape(-1, 1, machine.hw.block)
    masked = (raw == numerics.MASKED) & (packet["row_mode"] == RowMode.LESS)
    q = np.where(column < packet["channels"], _finish(packet, p, masked, table, column), 0)
    sums = q.sum(axis=(2, 4)).reshape(1, -1)
    wide = packet["out_bytes"] == Element.INT16
    machine.write_matrix(packet, "out", q.astype(np.int16) if wide else q.astype(np.int8))
    if packet["reduce"]:
        machine.write_items(packet["reduce_base"], numerics.pack_items(sums))


def _first(packet: Packet, machine: Machine, raw: I64, table: Bytes) -> I64:
    """Operand a, after its table or what each pixel's item or record does to it."""
    a = raw - packet["a_zero"]
    if packet["table_mode"] == RowTable.IN16:
        a = numerics.interpolate(a, table.view("<i2").reshape(-1, 2))
    if packet["row_mode"] == RowMode.NONE:
        return a
    rows = machine.read_items(packet["row_base"], packet["h"] * packet["m"])
    shape = (1, packet["h"], 1, packet["m"], 1)
    if packet["row_mode"] == RowMode.LESS:
        value, _ = numerics.unpack_items(rows)
        return numerics.less(a, numerics.item_index(value).reshape(shape))
    parts = numerics.unpack_records(rows[..., : numerics.RECORD_BYTES].view(np.uint8))
    bias, mult, shift = (part.reshape(shape) for part in parts)
    return numerics.normalize(a, packet["row_k"], bias, mult, shift, packet["rounding"])


def _function(packet: Packet, machine: Machine, a: I64) -> I64:
    """The scaled result, before zero point and clamp."""
    if packet["function"] == RowFunction.CHANNEL:
        words = machine.params_at(packet["param_base"], packet["blocks"])
        parts = numerics.unpack_signed_records(words.reshape(packet["blocks"], 1, -1, numerics.RECORD_BYTES))
        return numerics.channel(a, *parts, packet["rounding"])
    third = _operand(packet, machine, "c")
    scales = {key: packet[key] for key in ("a_mult", "c_mult", "c_shift", "shift", "rounding")}
    if packet["function"] == RowFunction.LINEAR:
        return numerics.linear(a, third, **scales)
    b = _operand(packet, machine, "b")
    if packet["function"] == RowFunction.PAIRS:
        return numerics.pairs(a + packet["a_zero"], b, third, **scales)
    return numerics.product(a, b - packet["b_zero"], third, **scales)


def _operand(packet: Packet, machine: Machine, p: str) -> I64:
    """Operand b or c, broadcastable against [1, h, blocks, m, B]; 0 where there is none."""
    if packet[f"{p}_kind"] == OperandKind.NONE:
        return np.zeros((1, 1, 1, 1, 1), np.int64)
    h, m = (1, 1) if packet[f"{p}_kind"] == OperandKind.ROW else (packet["h"], packet["m"])
    wide = packet[f"{p}_bytes"] == Element.INT16
    return machine.read_matrix(packet, p, (1, h, packet["blocks"], m), wide=wide).astype(np.int64)


def _finish(packet: Packet, p: I64, masked: NDArray[np.bool_], table: Bytes, column: I64) -> I64:
    if packet["out_bytes"] == Element.INT16:
        return np.where(masked, numerics.MASKED, numerics.saturate16(p))
    q = np.where(masked, INT8.lo, numerics.clamp(p + packet["out_zero"], packet["lo"], packet["hi"]))
    if packet["table_mode"] == RowTable.OUT8:
        return numerics.apply_table(q, table)
    if packet["table_mode"] == RowTable.DITHER:
        return numerics.dithered(q, table.view("<u2"), column)
    return q
