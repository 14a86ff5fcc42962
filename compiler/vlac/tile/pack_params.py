"""The parameter image: records, residual records, tables and masks of every operation, in parameter words.

Each chunk of a layer has its records followed by its residual record, as CONV expects them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import EncodingError
from vla_isa.generated.codes import MaskMode
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import pack_records
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.device.pool import PoolOp
from vlac.device.vec import VecOp
from vlac.errors import UnsupportedError
from vlac.ir.operation import Op
from vlac.ir.records import Requant
from vlac.tile.pack_weights import PackedWeights

__all__ = ["OpParams", "pack_params"]

Bytes = NDArray[np.uint8]


@dataclass
class OpParams:
    """Parameter words of one operation; addresses below are relative to its first word.

    Attributes:
        words: uint8 [n, 8 * B].
        records: first record word of each chunk (one entry where there are no chunks).
        table: word of the table, mask: word of out block 0's mask; None where there is none.
    """

    words: Bytes
    records: list[int] = field(default_factory=list)
    table: int | None = None
    mask: int | None = None


class _Builder:
    """Collects parameter words."""

    def __init__(self, hw: HardwareConfig) -> None:
        self.width = hw.param_word_bytes
        self.parts: list[Bytes] = []
        self.size = 0

    def add(self, data: Bytes) -> int:
        """Append bytes, padded to whole words; returns the first word."""
        start, flat = self.size, data.reshape(-1)
        padded = np.zeros(-(-flat.size // self.width) * self.width, np.uint8)
        padded[: flat.size] = flat
        self.parts.append(padded.reshape(-1, self.width))
        self.size += len(self.parts[-1])
        return start


def pack_params(op: Op, weights: PackedWeights | None, chunks: list[tuple[int, int]], hw: HardwareConfig) -> OpParams:
    """The parameter words of an operation cut into `chunks` of out blocks."""
    build = _Builder(hw)
    out = OpParams(np.zeros((0, hw.param_word_bytes), np.uint8))
    table = None
    if isinstance(op, (ConvOp, GemmOp)):
        records = _channel_records(op, op.requant, hw)
        residual = op.residual if isinstance(op, ConvOp) else None
        for first, last in chunks:
            out.records.append(build.add(records[first:last]))
            if residual is not None:
                packed = residual.pack()
                build.add(np.frombuffer(packed, np.uint8))
        table = op.requant.table
    elif isinstance(op, PoolOp) and op.mode == "average":
        mult, shift = op.records
        if op.count == "valid":
            out.records.append(build.add(pack_records(np.zeros_like(mult), mult, shift)))
        else:
            for m, s in zip(mult, shift, strict=True):
                out.records.append(build.add(pack_records(0, m, s)))
    elif isinstance(op, VecOp):
        table = op.table
    if table is not None:
        out.table = build.add(table.view(np.uint8))
    if weights is not None and weights.mode == MaskMode.MASK:
        bits = np.packbits(weights.live, axis=1, bitorder="little")
        rows = np.zeros((len(bits), hw.param_word_bytes), np.uint8)
        rows[:, : bits.shape[1]] = bits
        out.mask = build.add(rows)
    if build.parts:
        out.words = np.concatenate(build.parts)
    return out


def _channel_records(op: Op, requant: Requant, hw: HardwareConfig) -> Bytes:
    """Records of every out block, uint8 [out blocks, 8 * B]; padding lanes are zero."""
    lanes = op.output.lane_map()
    real = lanes >= 0
    values = []
    for array in (requant.bias, requant.mult, requant.shift):
        full = np.zeros(len(lanes), np.int64)
        full[real] = array[lanes[real]]
        values.append(full)
    try:
        return pack_records(*values).reshape(-1, hw.param_word_bytes)
    except EncodingError as e:
        raise UnsupportedError([f"{op.op_type} '{op.node}': {e}"]) from e
