"""A task's packets without the out blocks that nobody reads: of a CONV one packet for each run of blocks that are left.

A dead block costs the time in which its zeros are written. Where all readers skip it, it need not be there. Packets of
united tasks are the dense ones, as other blocks are live then.
Not here: which blocks nobody reads (`legalize/mask_tasks.py`), semaphores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.tasks import MaskedConv
from vlac.ir.cut import Span
from vlac.ir.packet import RelocatablePacket

__all__ = ["trimmed"]

_PACKET = 32  # cycles between two packets of the MAC engine


def trimmed(
    packet: RelocatablePacket, conv: MaskedConv, bits: NDArray[np.bool_], unread: Sequence[int], hw: HardwareConfig
) -> list[RelocatablePacket]:
    """The packets of a task in place of one of everything live; their multiply-accumulates are those that are live.

    Args:
        bits: bool [outs, ins], the mask of the whole convolution.
        unread: its out blocks that are left out.
    """
    assert packet.weights is not None
    v, first = packet.values, (packet.weights[0] - conv.weight_word) // (conv.ins * conv.taps)
    last = first + v["out_blocks"]
    pairs = np.multiply.outer(conv.out_channels, conv.in_channels)
    per_pair = packet.macs / max(int(pairs[first:last].sum()), 1)
    strips = -(-v["out_h"] * v["out_w"] // hw.pixels)
    gap = _PACKET * hw.requant_pixels // (strips * hw.pixels)
    made = []
    for a, b in _runs([o for o in range(first, last) if o not in unread], gap):
        values = {
            **v,
            "out_base": v["out_base"] + (a - first) * v["out_pitch"],
            "out_blocks": b - a,
            "param_base": v["param_base"] + a - first,
            "mask_base": v["mask_base"] + a - first,
            "weight_base": v["weight_base"] + conv.taps * int(bits[first:a].sum()),
        }
        made.append(replace(packet, values=values, macs=round(per_pair * int((pairs * bits)[a:b].sum()))))
    return made


def _runs(blocks: Sequence[int], gap: int) -> Iterator[Span]:
    """Ranges of blocks, with those between that are at most so many."""
    first = previous = None
    for block in blocks:
        if first is None or previous is None:
            first = block
        elif block - previous > gap + 1:
            yield first, previous + 1
            first = block
        previous = block
    if first is not None and previous is not None:
        yield first, previous + 1
