"""Parameters of operations: records per channel, tables and masks, as pieces whose bytes are made when wanted."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import MaskMode
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import RECORD_BYTES, ResidualRecord, pack_records
from vlac.ir.cut import Cut, Parameter, WeightLayout
from vlac.ir.records import Requant

__all__ = ["channel_parameter", "layer_parameters", "record_parameter", "table_parameter"]

I64 = NDArray[np.int64]
Bytes = NDArray[np.uint8]
_NEGATIVE = 0x40  # bit 62 of a record


def layer_parameters(
    requant: Requant, residual: ResidualRecord | None, channel_map: I64, cut: Cut, hw: HardwareConfig
) -> list[Parameter]:
    """Those of a CONV or GEMM: for each chunk its records and its residual record, then the table and the mask."""
    out: list[Parameter] = []
    for first, last in cut.chunks:
        here = channel_map[first * hw.block : last * hw.block]
        out.append(Parameter("records", last - first, partial(_channel_records, requant, here)))
        if residual is not None:
            out.append(Parameter("residual", 1, partial(_residual_record, residual)))
    if requant.table is not None:
        out.append(table_parameter(requant.table, hw))
    if cut.weights is not None and cut.weights.mode == MaskMode.MASK:
        out.append(Parameter("mask", len(cut.weights.live), partial(_mask_rows, cut.weights, hw.param_word_bytes)))
    return out


def record_parameter(mult: I64, shift: I64, hw: HardwareConfig) -> Parameter:
    """Records without biases, one after another."""
    words = -(-np.size(mult) * RECORD_BYTES // hw.param_word_bytes)
    return Parameter("records", words, partial(pack_records, np.zeros_like(mult), mult, shift))


def channel_parameter(requant: Requant, channel_map: I64, hw: HardwareConfig) -> Parameter:
    """Records of ROW's function channel, one word for each channel block; their multipliers may be negative."""
    return Parameter("records", len(channel_map) // hw.block, partial(_signed_records, requant, channel_map))


def table_parameter(table: NDArray[Any], hw: HardwareConfig) -> Parameter:
    """A table, little endian."""
    return Parameter("table", -(-table.nbytes // hw.param_word_bytes), lambda: table.reshape(-1).view(np.uint8))


def _signed_records(requant: Requant, channel_map: I64) -> Bytes:
    plain = _channel_records(replace(requant, mult=np.abs(requant.mult)), channel_map)
    real = channel_map >= 0
    negative = np.zeros(len(channel_map), np.bool_)
    negative[real] = requant.mult[channel_map[real]] < 0
    plain[:, 7] |= np.where(negative, _NEGATIVE, 0).astype(np.uint8)
    return plain


def _channel_records(requant: Requant, channel_map: I64) -> Bytes:
    """The records of some channel positions; those of padding are zero."""
    real = channel_map >= 0
    values = []
    for array in (requant.bias, requant.mult, requant.shift):
        full = np.zeros(len(channel_map), np.int64)
        full[real] = array[channel_map[real]]
        values.append(full)
    return pack_records(*values)


def _residual_record(record: ResidualRecord) -> Bytes:
    return np.frombuffer(record.pack(), np.uint8)


def _mask_rows(layout: WeightLayout, width: int) -> Bytes:
    """One word for each out block: bit i is in block i."""
    bits = np.packbits(layout.live, axis=1, bitorder="little")
    rows = np.zeros((len(bits), width), np.uint8)
    rows[:, : bits.shape[1]] = bits
    return rows
