"""VEC and POOL as steps: pairs of operands become a table, windows their scales.

Not here: ROW, whose operands are wide (`rows.py`).
"""

from __future__ import annotations

import numpy as np

from vla_isa.generated.codes import BKind, PoolMode
from vla_isa.packet import Packet
from vlarun.execute.pool import window_scales
from vlarun.execute.vec import pairs_of
from vlarun.memory import Machine, act_region
from vlarun.native.binding import Pool, Vec
from vlarun.native.step import Kind, NativeStep, fits, region_of
from vlarun.requantize import apply_table

__all__ = ["pool", "vec"]


def vec(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    block, rows, width, blocks = machine.hw.block, packet["out_h"], packet["out_w"], packet["out_blocks"]
    kind = BKind(packet["b_kind"])
    a, out = (act_region(packet, p, block, rows=rows, width=width, blocks=blocks) for p in ("a", "out"))
    sizes = {BKind.TENSOR: (rows, width, blocks), BKind.ROW: (1, 1, blocks), BKind.COLUMN: (rows, width, 1)}
    b = []
    if kind != BKind.SCALAR:
        size = sizes[kind]
        b = [act_region(packet, "b", block, rows=size[0], width=size[1], blocks=size[2])]
    if not fits(machine, out, a, same=True) or not fits(machine, out, *b, same=kind == BKind.TENSOR):
        return None
    pairs = pairs_of(packet)
    if packet["table_enable"]:
        pairs = apply_table(pairs, machine.table_at(packet["table_base"]))
    made = NativeStep(Kind.VEC, Vec())
    v = made.what
    v.a, v.b, v.out = region_of(a), region_of(b[0] if b else a), region_of(out)
    v.block, v.rows, v.width, v.blocks = block, rows, width, blocks
    v.b_kind, v.b_scalar, v.pairs = kind, packet["b_scalar"], made.pointer(pairs)
    return [made]


def pool(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    block, blocks = machine.hw.block, packet["in_blocks"]
    source, out = (
        act_region(packet, p, block, rows=packet[f"{p}_h"], width=packet[f"{p}_w"], blocks=blocks)
        for p in ("in", "out")
    )
    if not fits(machine, out, source, same=False):
        return None
    average = packet["mode"] == PoolMode.AVERAGE
    made = NativeStep(Kind.POOL, Pool())
    p = made.what
    p.input, p.out, p.block, p.blocks, p.average = region_of(source), region_of(out), block, blocks, average
    for name in ("channels", "in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w"):
        setattr(p, name, packet[name])
    for name in ("pad_top", "pad_left", "in_zero", "rounding", "lo", "hi"):
        setattr(p, name, packet[name])
    p.zero = packet["out_zero"]
    scales = np.stack(window_scales(packet, machine), axis=-1) if average else np.zeros((1, 2), np.int64)
    p.record = made.pointer(np.broadcast_to(scales, (packet["out_h"], packet["out_w"], 2)))
    return [made]
