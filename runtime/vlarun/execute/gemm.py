"""GEMM: a batch of matrix products of activations [h][K/B][m][B] with weights [N/B][K/B][B x B]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import Element, OperandKind, ScaleBy
from vla_isa.packet import Packet
from vlarun.matmul import SIGN, matmul
from vlarun.memory import Bytes, Machine, Records, Wide, word_dtype
from vlarun.requantize import apply_table, requantize, rounded

__all__ = ["execute"]

Array = NDArray[Any]


def execute(packet: Packet, machine: Machine) -> None:
    """Read the input, weights, records and residual; write the output and the maxima of every batch."""
    block, batch, h, m, n_blocks = (machine.hw.block, *(packet[f] for f in ("batch", "h", "m", "n_blocks")))
    matrix = _weight_matrices(packet, machine)
    x = machine.read_matrix(packet, "in", (batch, h, packet["k_blocks"], m), wide=False)
    words = np.ascontiguousarray(x).view(word_dtype(block))[..., 0].transpose(0, 1, 3, 2)
    a = np.ascontiguousarray(words).view(np.uint8).reshape(batch, h * m, -1) ^ SIGN
    acc, bound, records = matmul(a, matrix), a.shape[2] << 14, _records(packet, machine)
    q: Bytes | Wide
    if packet["out_bytes"] == Element.INT16:
        q = _wide(packet, machine, rounded(acc, records, packet["rounding"], bound))
    else:
        q = requantize(acc, records, packet, bound)
        if packet["table_enable"]:
            q = apply_table(q, machine.table_at(packet["table_base"]))
    machine.write_matrix(packet, "out", q.reshape(batch, h, m, n_blocks, block).transpose(0, 1, 3, 2, 4))
    if packet["row_max"]:
        machine.write_items(packet["row_base"], numerics.pack_items(q.max(axis=2)), packet["row_batch_stride"])


def _records(packet: Packet, machine: Machine) -> Records:
    """Broadcastable against accumulators [batch, pixels, columns]."""
    if packet["scale_by"] == ScaleBy.ROW:
        pixels = packet["h"] * packet["m"]
        rows = machine.read_items(packet["row_base"], pixels, packet["batch"], packet["row_batch_stride"])
        records = numerics.unpack_records(rows[..., : numerics.RECORD_BYTES].view(np.uint8))
        _, mult, shift = (part[..., None] for part in records)
        return Records(np.zeros_like(mult), mult, shift)
    if packet["scale_by"] == ScaleBy.TENSOR:
        return Records(*(r[:1] for r in machine.records_at(packet["param_base"], 1)))
    return machine.records_at(packet["param_base"], packet["n_blocks"])


def _wide(packet: Packet, machine: Machine, x: Array) -> Wide:
    """int16 results of rounded ones [batch, pixels, columns]: with residual, masked by the limit."""
    lo = numerics.MASKED
    if not packet["row_max"] and not packet["res_kind"]:
        return np.clip(x, lo, -lo - 1).astype(np.int16)
    x = np.clip(x, -(1 << 17), (1 << 17) - 1)
    res = _residual(packet, machine)
    x = x + res
    if not packet["row_max"]:
        return np.clip(x, lo, -lo - 1).astype(np.int16)
    x = np.clip(x, lo + 1, -lo - 1).astype(np.int16)
    x[np.broadcast_to(res == lo, x.shape)] = lo
    pixel = np.arange(packet["h"] * packet["m"]) % packet["m"]
    limit = packet["limit"] + packet["limit_step"] * pixel
    masked = np.arange(x.shape[2]) >= limit[:, None]
    x[:, masked] = lo
    return x


def _residual(packet: Packet, machine: Machine) -> Array:
    """Broadcastable against results [batch, pixels, columns]."""
    batch, h, m, blocks = (packet[f] for f in ("batch", "h", "m", "n_blocks"))
    if packet["res_kind"] == OperandKind.NONE:
        return np.zeros((1, 1, 1), np.int16)
    if packet["res_kind"] == OperandKind.ROW:
        h = m = 1
    res = machine.read_matrix(packet, "res", (batch, h, blocks, m), wide=True)
    return res.transpose(0, 1, 3, 2, 4).reshape(batch, h * m, -1)


def _weight_matrices(packet: Packet, machine: Machine) -> Bytes:
    """The weights as int8 [batch, K, N]."""
    block, shape = machine.hw.block, (packet["n_blocks"], packet["k_blocks"])
    count, batch, stride = shape[0] * shape[1], packet["batch"], packet["weight_batch_stride"]
    if batch == 1:
        words = machine.weights_at(packet["weight_base"], count)
    else:
        index = packet["weight_base"] + np.arange(batch)[:, None] * stride + np.arange(count)
        words = machine.weight[index % machine.hw.weight_words]
    found = machine.weight_cache.find(machine.address, (batch, shape), words)
    if found is None:
        blocks = words.reshape(batch, *shape, block, block)
        found = np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3)).reshape(batch, shape[1] * block, -1)
        machine.weight_cache.keep(machine.address, (batch, shape), words, found)
    return found
