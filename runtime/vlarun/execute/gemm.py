"""GEMM: a batch of matrix products of activations [K/B][M][B] with weights [N/B][K/B][B x B]."""

from __future__ import annotations

import numpy as np

from vla_isa.generated.codes import ScaleBy
from vla_isa.packet import Packet
from vlarun.matmul import SIGN, matmul
from vlarun.memory import Bytes, Machine, Records, Region, word_dtype
from vlarun.requantize import apply_table, requantize

__all__ = ["execute"]


def execute(packet: Packet, machine: Machine) -> None:
    """Read the input, weights and records; write the output of every batch."""
    block, batch, m, n_blocks = machine.hw.block, packet["batch"], packet["m"], packet["n_blocks"]
    matrix = _weight_matrices(packet, machine)
    x = machine.read_act(_batches(packet, "in", packet["k_blocks"], block)).view(word_dtype(block))[..., 0]
    a = np.ascontiguousarray(x.transpose(0, 2, 1)).view(np.uint8) ^ SIGN
    depth = a.shape[2]
    records = machine.records_at(packet["param_base"], n_blocks)
    if packet["scale_by"] == ScaleBy.TENSOR:
        records = Records(*(r[:1] for r in records))
    q = requantize(matmul(a, matrix), records, packet, depth << 14)
    if packet["table_enable"]:
        q = apply_table(q, machine.table_at(packet["table_base"]))
    words = np.ascontiguousarray(q.view(word_dtype(block)).transpose(0, 2, 1))
    machine.write_act(_batches(packet, "out", n_blocks, block), words.view(np.int8).reshape(batch, n_blocks, m, block))


def _batches(packet: Packet, prefix: str, blocks: int, block: int) -> Region:
    """All batches of a matrix as one region: a batch is a row, an M row a pixel."""
    strides = (0, packet[f"{prefix}_batch_stride"] * block, packet[f"{prefix}_pitch"] * block)
    return Region(packet[f"{prefix}_base"] * block, (1, packet["batch"], blocks), strides, packet["m"] * block)


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
