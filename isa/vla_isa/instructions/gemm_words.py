"""Which words of the scratchpad a GEMM touches, strip by strip.

Not here: what it costs but waiting for them (`gemm.py`).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.banks import Banks, Beats
from vla_isa.cost import Timing, Touches
from vla_isa.engine_words import Stretch, Strips, result_reads, result_words
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.packet import Packet
from vla_isa.residual_reads import Strip, strips_of, waits

__all__ = ["banks_touched", "read_waits"]


def read_waits(packet: Packet, hw: HardwareConfig) -> int:
    """Cycles in which results wait for their residual or records."""
    v, planes = packet.values, 1 + packet["out_bytes"]
    if v["res_kind"] != codes.OperandKind.TENSOR and v["scale_by"] != codes.ScaleBy.ROW:
        return 0
    groups = -(-min(v["h"] * v["m"], hw.pixels) // hw.requant_pixels)

    def found(numbers: NDArray[np.int64]) -> tuple[Strip, ...]:
        reads = _read_words(packet, hw, numbers)
        entries = np.full((len(numbers), reads.shape[1], planes, hw.requant_pixels), -1)
        entries[:, :, : reads.shape[2]] = reads
        _, block, _ = _pixels(packet, hw, numbers)
        items = (block[:, 0] == v["n_blocks"] - 1) * v["row_max"] * (numerics.ITEM_BYTES // hw.act_word_bytes)
        return strips_of(_in_words(packet, hw, numbers), entries, items)

    return waits(_strips(packet, hw), v["k_blocks"], groups * planes, found)


def banks_touched(packet: Packet, hw: HardwareConfig, timing: Timing) -> Touches:
    """Operands, results, and what is read for these."""
    v, wide = packet.values, packet["out_bytes"]
    groups = hw.pixels // hw.requant_pixels
    strips = Strips(_strips(packet, hw), v["k_blocks"], groups, 1 + wide, timing.mac_results + wide)
    tensor, rows = v["res_kind"] == codes.OperandKind.TENSOR, v["scale_by"] == codes.ScaleBy.ROW
    return Touches(
        partial(_operands, packet, hw, strips),
        partial(_results, packet, hw, strips),
        partial(_reads, packet, hw, strips) if tensor or rows else None,
    )


def _operands(packet: Packet, hw: HardwareConfig, strips: Strips, at: int) -> Banks:
    return strips.banks(at, partial(_in_words, packet, hw))


def _results(packet: Packet, hw: HardwareConfig, strips: Strips, at: int) -> Banks:
    return strips.results(at, partial(_out_words, packet, hw))


def _in_words(packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    """The array reads block after block of a strip's pixels, which run across row ends."""
    pixel, _, batch = _pixels(packet, hw, strips)
    row = packet["in_base"] + batch * packet["in_batch_stride"] + _offset(packet, "in", pixel)
    words = row[:, None] + (np.arange(packet["k_blocks"]) * packet["in_pitch"])[:, None]
    return np.where(pixel[:, None] < 0, -1, words)


def _out_words(packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    pixel, block, batch = _pixels(packet, hw, strips)
    planes = 1 + packet["out_bytes"]
    block = block * planes * packet["out_pitch"]
    words = packet["out_base"] + batch * packet["out_batch_stride"] + block + _offset(packet, "out", pixel)
    return result_words(np.where(pixel < 0, -1, words), packet["out_pitch"], planes, hw)


def _reads(packet: Packet, hw: HardwareConfig, strips: Strips, done: float) -> Beats:
    part = Stretch.of(strips.count, packet["k_blocks"], done)
    words = _read_words(packet, hw, part.jobs).reshape(len(part.jobs), -1, hw.requant_pixels)
    return result_reads(words, packet["k_blocks"], 0 if done else strips.first, part.all)


def _read_words(packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    """The residual's two planes, or the records of rows: [strips, groups, planes, lanes] words."""
    pixel, block, batch = _pixels(packet, hw, strips)
    planes, pitch = 1, 0
    if packet["res_kind"] == codes.OperandKind.TENSOR:
        planes, pitch = 2, packet["res_pitch"]
        words = packet["res_base"] + batch * packet["res_batch_stride"] + block * planes * pitch
        words = words + _offset(packet, "res", pixel)
    else:
        size = numerics.ITEM_BYTES // hw.act_word_bytes
        words = packet["row_base"] + batch * packet["row_batch_stride"] + pixel * size
    found = result_words(np.where(pixel < 0, -1, words), pitch, planes, hw)
    return found.reshape(len(strips), -1, planes, hw.requant_pixels)


def _strips(packet: Packet, hw: HardwareConfig) -> int:
    """Of all batches and out blocks."""
    return packet["batch"] * packet["n_blocks"] * -(-packet["h"] * packet["m"] // hw.pixels)


def _offset(packet: Packet, region: str, pixel: NDArray[np.int64]) -> NDArray[np.int64]:
    return pixel // packet["m"] * packet[f"{region}_row_stride"] + pixel % packet["m"]


def _pixels(
    packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of strips, -1 where there is none, and the out block and batch of each."""
    count = packet["h"] * packet["m"]
    block, strip = np.divmod(strips, -(-count // hw.pixels))
    pixel = strip[:, None] * hw.pixels + np.arange(hw.pixels)
    batch, block = np.divmod(block, packet["n_blocks"])
    return np.where(pixel < count, pixel, -1), block[:, None], batch[:, None]
