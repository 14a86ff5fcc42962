"""CONV: 2-D convolution as one exact integer matrix product over unfolded input windows.

The padded input becomes pixels x channels, windows are unfolded by strides (one copy), and
`matmul` gives the int32 accumulators. A diagonal mask is one small product per channel block; any other
mask puts its words into a dense matrix with zero blocks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import RESIDUAL_BYTES, MaskEmpty, MaskMode
from vla_isa.numerics import ResidualRecord
from vla_isa.packet import Packet
from vlarun.matmul import SIGN, matmul
from vlarun.memory import Bytes, Machine, Records, act_region, word_dtype
from vlarun.requantize import apply_pairs, apply_table, requantize, residual_pairs

__all__ = ["execute", "input_size", "live_blocks"]

UNFOLD_BYTES = 1 << 22  # windows unfolded at once, so that they stay in the cache


def execute(packet: Packet, machine: Machine) -> None:
    """Read the input, weights and records; write the output region."""
    rows, width, blocks = packet["out_h"], packet["out_w"], packet["out_blocks"]
    out = act_region(packet, "out", machine.hw.block, rows=rows, width=width, blocks=blocks)
    q = _diagonal(packet, machine) if packet["mask_mode"] == MaskMode.DIAGONAL else _dense(packet, machine)
    if packet["table_enable"]:
        q = apply_table(q, machine.table_at(packet["table_base"]))
    if packet["residual_enable"]:
        region = act_region(packet, "res", machine.hw.block, rows=rows, width=width, blocks=blocks)
        word = machine.params_at(packet["param_base"] + blocks, 1)
        record = ResidualRecord.unpack(word.reshape(-1)[:RESIDUAL_BYTES].tobytes())
        q = apply_pairs(q, machine.read_act(region), residual_pairs(record, packet["rounding"]))
    machine.write_act(out, q)


def live_blocks(packet: Packet, machine: Machine) -> NDArray[np.bool_]:
    """Which weight blocks exist, bool [out blocks, in blocks]."""
    shape = (packet["out_blocks"], packet["in_blocks"])
    if packet["mask_mode"] == MaskMode.MASK:
        return machine.mask_at(packet["mask_base"], *shape)
    diagonal = packet["mask_mode"] == MaskMode.DIAGONAL
    return np.eye(*shape, dtype=np.bool_) if diagonal else np.ones(shape, np.bool_)


def input_size(packet: Packet) -> tuple[int, int]:
    """Rows and pixels of the input that windows can touch, padding included."""
    rows = (packet["out_h"] - 1) * packet["stride_h"] + (packet["kernel_h"] - 1) * packet["dilation_h"] + 1
    pixels = (packet["out_w"] - 1) * packet["stride_w"] + (packet["kernel_w"] - 1) * packet["dilation_w"] + 1
    return rows, pixels


def _padded(packet: Packet, machine: Machine) -> NDArray[np.generic]:
    """The input words that windows can touch, [rows, blocks, pixels], padding in place, sign bits flipped."""
    block = machine.hw.block
    blocks, h, w = packet["in_blocks"], packet["in_h"], packet["in_w"]
    top, left = packet["pad_top"], packet["pad_left"]
    rows, pixels = input_size(packet)
    x = machine.read_act(act_region(packet, "in", block, rows=h, width=w, blocks=blocks))
    if (top, left, rows, pixels) != (0, 0, h, w):
        padded = np.full((rows, blocks, pixels, block), packet["in_zero"], np.int8)
        keep_h, keep_w = max(0, min(h, rows - top)), max(0, min(w, pixels - left))
        padded[top : top + keep_h, :, left : left + keep_w] = x[:keep_h, :, :keep_w]
        x = padded
    x.view(np.uint8).__ixor__(SIGN)
    return x.view(word_dtype(block))[..., 0]


def _windows(packet: Packet, x: NDArray[np.generic], row: int, rows: int) -> NDArray[np.generic]:
    """A view of the windows of output rows row..row+rows-1 over words [H, W, blocks].

    Returns [rows, out_w, kernel_h, kernel_w, blocks].
    """
    x = x[row * packet["stride_h"] :]
    sh, sw, sb = x.strides
    strides = (
        packet["stride_h"] * sh,
        packet["stride_w"] * sw,
        packet["dilation_h"] * sh,
        packet["dilation_w"] * sw,
        sb,
    )
    shape = (rows, packet["out_w"], packet["kernel_h"], packet["kernel_w"], x.shape[2])
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _unfold(windows: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Copy a view of words to bytes of `shape`."""
    return np.ascontiguousarray(windows).view(np.uint8).reshape(shape)


def _dense(packet: Packet, machine: Machine) -> Bytes:
    """The result of a dense or masked convolution, int8 [out_h, out_blocks, out_w, B]."""
    block, out_h, out_w, out_blocks = machine.hw.block, packet["out_h"], packet["out_w"], packet["out_blocks"]
    live = live_blocks(packet, machine)
    matrix = _dense_matrix(packet, machine, live)
    records = machine.records_at(packet["param_base"], out_blocks)
    if packet["mask_empty"] == MaskEmpty.ZERO:
        records = records._replace(bias=records.bias * np.repeat(live.any(axis=1), block))
    x = np.ascontiguousarray(_padded(packet, machine).transpose(0, 2, 1))
    depth, columns = matrix.shape
    out = np.empty((out_h, out_w, columns), np.int8)
    step = max(1, UNFOLD_BYTES // (out_w * depth))
    for row in range(0, out_h, step):
        rows = min(step, out_h - row)
        acc = matmul(_unfold(_windows(packet, x, row, rows), (rows * out_w, depth)), matrix)
        out[row : row + rows] = requantize(acc, records, packet, depth << 14).reshape(rows, out_w, columns)
    words = out.view(word_dtype(block)).transpose(0, 2, 1)
    return np.ascontiguousarray(words).view(np.int8).reshape(out_h, out_blocks, out_w, block)


def _dense_matrix(packet: Packet, machine: Machine, live: NDArray[np.bool_]) -> Bytes:
    """The weights as int8 [kernel_h * kernel_w * in channels, out channels], zero where no block is live."""
    block, kernel = machine.hw.block, (packet["kernel_h"], packet["kernel_w"])
    words = machine.weights_at(packet["weight_base"], int(live.sum()) * kernel[0] * kernel[1])
    key = (kernel, live.shape, live.tobytes())
    found = machine.weight_cache.find(machine.address, key, words)
    if found is not None:
        return found
    blocks = words.reshape(-1, *kernel, block, block)
    if not live.all():
        every = np.zeros((live.size, *kernel, block, block), np.int8)
        every[live.reshape(-1)] = blocks
        blocks = every
    blocks = blocks.reshape(*live.shape, *kernel, block, block)
    matrix = np.ascontiguousarray(blocks.transpose(2, 3, 1, 5, 0, 4)).reshape(-1, live.shape[0] * block)
    machine.weight_cache.keep(machine.address, key, words, matrix)
    return matrix


def _diagonal(packet: Packet, machine: Machine) -> Bytes:
    """The result of a depthwise convolution (in block = out block), int8 [out_h, out_blocks, out_w, B]."""
    block, out_h, out_w, blocks = machine.hw.block, packet["out_h"], packet["out_w"], packet["out_blocks"]
    kernel = (packet["kernel_h"], packet["kernel_w"])
    depth = kernel[0] * kernel[1] * block
    words = machine.weights_at(packet["weight_base"], blocks * kernel[0] * kernel[1])
    matrix = words.reshape(blocks, -1, block, block).transpose(0, 1, 3, 2).reshape(blocks, depth, block)
    records = Records(*(r.reshape(blocks, 1, block) for r in machine.records_at(packet["param_base"], blocks)))
    x = np.ascontiguousarray(_padded(packet, machine)).transpose(0, 2, 1)
    out = np.empty((out_h, blocks, out_w, block), np.int8)
    step = max(1, UNFOLD_BYTES // (out_w * blocks * depth))
    for row in range(0, out_h, step):
        rows = min(step, out_h - row)
        windows = _windows(packet, x, row, rows).transpose(4, 0, 1, 2, 3)
        acc = matmul(_unfold(windows, (blocks, rows * out_w, depth)), matrix)
        q = requantize(acc, records, packet, depth << 14)
        out[row : row + rows] = q.reshape(blocks, rows, out_w, block).transpose(1, 0, 2, 3)
    return out
