"""Which words of the scratchpad a CONV touches, strip by strip.

Not here: what it costs but waiting for them (`conv.py`).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vla_isa.banks import Banks
from vla_isa.cost import Timing, Touches
from vla_isa.engine_words import Strips, result_words
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.packet import Packet
from vla_isa.residual_reads import Strip, strips_of, waits

__all__ = ["banks_touched", "residual_waits"]


def residual_waits(packet: Packet, hw: HardwareConfig, strips: int, live: int) -> int:
    """Cycles in which results wait for their residual.

    Args:
        packet: a CONV.
        hw: the machine.
        strips: of an out block.
        live: in blocks of an out block.
    """
    v = packet.values
    if not v["residual_enable"]:
        return 0
    groups = -(-min(v["out_h"] * v["out_w"], hw.pixels) // hw.requant_pixels)

    def found(numbers: NDArray[np.int64]) -> tuple[Strip, ...]:
        reads = _region_words(packet, "res", hw, numbers).reshape(len(numbers), -1, 1, hw.requant_pixels)
        return strips_of(_taps(packet, hw, numbers), reads, np.zeros(len(numbers), np.int64))

    return waits(v["out_blocks"] * strips, live * v["kernel_h"] * v["kernel_w"], groups, found)


def banks_touched(
    packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64], outs: NDArray[np.int64], timing: Timing
) -> Touches:
    """Operands and results.

    Args:
        packet: a CONV.
        hw: the machine.
        strips: cycles of each strip for one live weight block.
        outs: live weight blocks of each out block.
        timing: constants.
    """
    count = len(strips) * len(outs)
    steps = float(strips.sum() * outs.sum() / count)
    behind = timing.mac_results + (timing.mac_residual if packet["residual_enable"] else 0)
    time = Strips(count, steps, hw.pixels // hw.requant_pixels, 1, behind)
    return Touches(partial(_operands, packet, hw, time), partial(_results, packet, hw, time))


def _operands(packet: Packet, hw: HardwareConfig, strips: Strips, at: int) -> Banks:
    return strips.banks(at, partial(_taps, packet, hw))


def _results(packet: Packet, hw: HardwareConfig, strips: Strips, at: int) -> Banks:
    return strips.results(at, partial(_out_words, packet, hw))


def _taps(packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    """The array reads the taps of a block after those of the block before it, as if all blocks were live."""
    v = packet.values
    blocks = 1 if v["mask_mode"] == codes.MaskMode.DIAGONAL else v["in_blocks"]
    pixel = _pixels(packet, hw, strips)
    ky, kx = np.divmod(np.arange(v["kernel_h"] * v["kernel_w"])[:, None], v["kernel_w"])
    iy = (pixel // v["out_w"] * v["stride_h"] - v["pad_top"])[:, None] + ky * v["dilation_h"]
    ix = (pixel % v["out_w"] * v["stride_w"] - v["pad_left"])[:, None] + kx * v["dilation_w"]
    inside = (iy >= 0) & (iy < v["in_h"]) & (ix >= 0) & (ix < v["in_w"]) & (pixel >= 0)[:, None]
    words = v["in_base"] + (v["in_slot"] + iy) % v["in_ring"] * v["in_row_stride"] + ix
    steps = words[:, None] + (np.arange(blocks) * v["in_pitch"])[:, None, None]
    return np.where(inside[:, None], steps, -1).reshape(len(strips), -1, hw.pixels)


def _out_words(packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    return _region_words(packet, "out", hw, strips)


def _region_words(packet: Packet, region: str, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    """[strips, groups, lanes] words of the pixels of strips of a region of the output's size."""
    v, pixel = packet.values, _pixels(packet, hw, strips)
    block = strips // -(-v["out_h"] * v["out_w"] // hw.pixels) * v[f"{region}_pitch"]
    row = (v[f"{region}_slot"] + pixel // v["out_w"]) % v[f"{region}_ring"]
    words = v[f"{region}_base"] + block[:, None] + row * v[f"{region}_row_stride"] + pixel % v["out_w"]
    return result_words(np.where(pixel < 0, -1, words), 0, 1, hw)


def _pixels(packet: Packet, hw: HardwareConfig, strips: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of strips, which are the same of every out block; -1 where there is none."""
    count = packet["out_h"] * packet["out_w"]
    pixel = (strips % -(-count // hw.pixels))[:, None] * hw.pixels + np.arange(hw.pixels)
    return np.where(pixel < count, pixel, -1)
