"""From a packet and the memories it finds to a step of the library: weights packed, records and tables read.

A packet that the library does not do as the machine does (an output that wraps, or that overlaps an input in another
place) gives None; it is then executed in numpy (`execute/`). Not here: which packets run (`backends/sim_plan.py`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import RESIDUAL_BYTES, BKind, MaskEmpty, MaskMode, Move, PoolMode, ScaleBy
from vla_isa.numerics import ResidualRecord
from vla_isa.packet import Packet
from vlarun import memory
from vlarun.execute.conv import input_size, live_blocks
from vlarun.execute.copy import sides
from vlarun.execute.pool import window_scales
from vlarun.execute.vec import pairs_of
from vlarun.memory import Bytes, Machine, Records, act_region
from vlarun.native.binding import Conv, Copy, Pool, Region, Side, Tile, Vec
from vlarun.requantize import EXACT_BOUND, apply_table

__all__ = ["MAKERS", "NativeStep", "make_step"]

LANES, STEP = 16, 4  # output channels of a group, input channels of a step
UNION_WORTH = 1.25  # groups share a tile while that multiplies at most so many times what they need
CONV, COPY, VEC, POOL = range(4)  # kinds of steps
FLIPPED = 128  # what the kernels add to every activation


@dataclass
class NativeStep:
    """A step of the library, and what it points to.

    Attributes:
        kind: CONV, ...
        what: the structure.
        scratch: bytes that it needs per input; `padded` is what they hold, where a next step may want the same.
    """

    kind: int
    what: ctypes.Structure
    scratch: int = 0
    padded: tuple[Any, ...] = ()
    arrays: list[Any] = field(default_factory=list)

    def reads(self, written: NDArray[np.int64]) -> bool:
        """Whether one of these spans of bytes [n, 2] may meet its input."""
        source = self.padded[0]
        return bool(((written[:, 0] < source.end()) & (written[:, 1] > source.base)).any())

    def pointer(self, array: NDArray[Any]) -> int:
        """The address of an array, which is kept as long as the step."""
        array = np.ascontiguousarray(array)
        self.arrays.append(array)
        return int(array.ctypes.data)


def make_step(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """The steps of a packet (none: it changes nothing), or None where the library does not do it.

    Args:
        packet: a legal packet.
        machine: with the weights and parameters that it finds.
        groups: the most groups of a tile.

    Raises:
        DataSpaceError: the packet leaves the data space or the weight space.
    """
    maker = MAKERS.get(packet.name)
    return None if maker is None else maker(packet, machine, groups)


# --- regions -------------------------------------------------------------------------------------------------------


def _region(region: memory.Region) -> Region:
    _, row_stride, pitch = region.strides
    return Region(region.base, row_stride, pitch, region.ring, region.slot)


def _fits(machine: Machine, out: memory.Region, *inputs: memory.Region, same: bool) -> bool:
    """Whether order does not matter: nothing wraps, `out` meets itself and `inputs` nowhere, or is one (`same`)."""
    if any(r.end() > machine.act.size for r in (out, *inputs)) or out.overlaps_itself():
        return False
    return all((same and r == out) or r.end() <= out.base or out.end() <= r.base for r in inputs)


# --- CONV and GEMM -------------------------------------------------------------------------------------------------


def _conv(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    block, rows, width, outs = machine.hw.block, packet["out_h"], packet["out_w"], packet["out_blocks"]
    source = act_region(packet, "in", block, rows=packet["in_h"], width=packet["in_w"], blocks=packet["in_blocks"])
    out = act_region(packet, "out", block, rows=rows, width=width, blocks=outs)
    res = act_region(packet, "res", block, rows=rows, width=width, blocks=outs) if packet["residual_enable"] else out
    if source.end() > machine.act.size or not _fits(machine, out, res, same=True):
        return None
    live = live_blocks(packet, machine)
    records = machine.records_at(packet["param_base"], outs)
    if packet["mask_empty"] == MaskEmpty.ZERO and packet["mask_mode"] == MaskMode.MASK:
        records = records._replace(bias=records.bias * np.repeat(live.any(axis=1), block))
    taps = packet["kernel_h"] * packet["kernel_w"]
    words = machine.weights_at(packet["weight_base"], int(live.sum()) * taps).reshape(-1, taps, block, block)
    padded_rows, pixels = input_size(packet)
    made = NativeStep(CONV, Conv(), padded_rows * packet["in_blocks"] * pixels * block)
    c = made.what
    c.input, c.out, c.res = _region(source), _region(out), _region(res)
    for name in ("in_h", "in_w", "in_blocks", "in_zero", "pad_top", "pad_left"):
        setattr(c, name, packet[name])
    for name in ("out_h", "out_w", "out_blocks", "stride_h", "stride_w"):
        setattr(c, name, packet[name])
    c.block, c.rows, c.pixels = block, padded_rows, pixels
    made.padded = (source, packet["in_zero"], packet["pad_top"], packet["pad_left"], padded_rows, pixels)
    ky, kx = np.indices((packet["kernel_h"], packet["kernel_w"])).reshape(2, -1)
    line = packet["in_blocks"] * pixels * block
    at_tap = ky * packet["dilation_h"] * line + kx * packet["dilation_w"] * block
    _finish(made, packet, machine, records, words, live)
    if packet["mask_mode"] == MaskMode.DIAGONAL and _is_depthwise(words):
        weights = np.zeros((outs, taps, LANES), np.int32)
        weights[..., :block] = np.diagonal(words, axis1=2, axis2=3)
        c.taps, c.tap = taps, made.pointer(at_tap.astype(np.int32))
        c.depthwise = made.pointer(weights)
    else:
        _tiles(made, words, live, at_tap, pixels * block, groups)
    return [made]


def _gemm(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """A matrix product is a 1x1 convolution over one row of `m` pixels; each batch has its own weights."""
    if packet["h"] > 1 or packet["out_bytes"] or packet["scale_by"] == ScaleBy.ROW:
        return None
    block, m, n_blocks, k_blocks = machine.hw.block, packet["m"], packet["n_blocks"], packet["k_blocks"]
    records = machine.records_at(packet["param_base"], n_blocks)
    if packet["scale_by"] == ScaleBy.TENSOR:
        records = Records(*(np.repeat(r[:1], n_blocks * block) for r in records))
    live = np.ones((n_blocks, k_blocks), np.bool_)
    found: list[NativeStep] = []
    regions = [
        tuple(_batch(packet, prefix, b, blocks, block) for prefix, blocks in (("in", k_blocks), ("out", n_blocks)))
        for b in range(packet["batch"])
    ]
    spans = np.array([[(r.base, r.end()) for r in pair] for pair in regions])
    if spans.max() > machine.act.size or regions[0][1].overlaps_itself():
        return None
    for number, (source, out) in enumerate(regions):
        others, (start, end) = np.delete(spans, number, axis=0).reshape(-1, 2), spans[number, 1]
        if not ((others[:, 1] <= start) | (end <= others[:, 0])).all():  # a batch meets no other
            return None
        base = packet["weight_base"] + number * packet["weight_batch_stride"]
        words = machine.weights_at(base % machine.hw.weight_words, live.size).reshape(-1, 1, block, block)
        made = NativeStep(CONV, Conv(), k_blocks * m * block)
        c = made.what
        c.input, c.out, c.res = _region(source), _region(out), _region(out)
        c.in_h = c.rows = c.out_h = c.stride_h = c.stride_w = 1
        c.block, c.in_w, c.pixels, c.out_w, c.in_blocks, c.out_blocks = block, m, m, m, k_blocks, n_blocks
        made.padded = (source, 0, 0, 0, 1, m)
        _finish(made, packet, machine, records, words, live)
        _tiles(made, words, live, np.zeros(1, np.int64), m * block, groups)
        found.append(made)
    return found


def _batch(packet: Packet, prefix: str, number: int, blocks: int, block: int) -> memory.Region:
    base = packet[f"{prefix}_base"] + number * packet[f"{prefix}_batch_stride"]
    return memory.Region(base * block, (1, 1, blocks), (0, 0, packet[f"{prefix}_pitch"] * block), packet["m"] * block)


def _is_depthwise(words: Bytes) -> bool:
    """Whether only diagonals of words [n, taps, B, B] are not zero."""
    return not (words * ~np.eye(words.shape[2], dtype=np.bool_)).any()


def _finish(
    made: NativeStep, packet: Packet, machine: Machine, records: Records, words: Bytes, live: NDArray[np.bool_]
) -> None:
    """`struct Finish`: records by channel, the table, the residual's record."""
    block, f = machine.hw.block, made.what.finish
    by_block = np.zeros((*live.shape, block), np.int64)
    by_block[live] = np.einsum("ntoi->no", words, dtype=np.int32)
    sums = by_block.sum(axis=1)
    depth = int(live.sum(axis=1).max(initial=0)) * words.shape[1] * block
    wide = int(np.abs(records.bias).max(initial=0)) + (depth << 14) >= EXACT_BOUND
    channels = -(-live.shape[0] * block // LANES) * LANES + LANES  # groups filled up, and one more to read from
    add = np.zeros(channels, np.int64)
    add[: sums.size] = -FLIPPED * sums.reshape(-1) + (0 if wide else records.bias)
    scale, record = np.zeros(channels), np.zeros((channels, 3), np.int64)
    scale[: sums.size] = records.mult * np.exp2(-records.shift.astype(np.float64))
    record[: sums.size] = np.stack(records, axis=1)
    f.add = made.pointer((add & 0xFFFFFFFF).astype(np.uint32))
    f.scale, f.record, f.wide = made.pointer(scale), made.pointer(record), wide
    f.rounding, f.zero, f.lo, f.hi = packet["rounding"], packet["out_zero"], packet["lo"], packet["hi"]
    if packet["table_enable"]:
        f.table = made.pointer(machine.table_at(packet["table_base"]))
    if packet.values.get("residual_enable"):
        word = machine.params_at(packet["param_base"] + live.shape[0], 1).reshape(-1)
        r = ResidualRecord.unpack(word[:RESIDUAL_BYTES].tobytes())
        f.residual, f.a_zero, f.b_zero, f.out_zero = 1, r.a_zero, r.b_zero, r.out_zero
        f.residual_lo, f.residual_hi = r.lo, r.hi
        f.a_scale, f.b_scale = r.a_mult * 2.0**-r.shift, r.b_mult * 2.0**-r.shift


def _tiles(
    made: NativeStep, words: Bytes, live: NDArray[np.bool_], at_tap: NDArray[np.int64], in_pitch: int, most: int
) -> None:
    """Tiles of groups with the steps that any of their weights needs; steps of zeros are left out.

    Args:
        made: the step.
        words: int8 [live blocks, taps, B out, B in].
        live: which blocks those are, bool [out blocks, in blocks].
        at_tap: offset of each tap from the window's first byte.
        in_pitch: bytes from block to block of the padded input.
        most: groups of a tile.
    """
    taps, block = words.shape[1:3]
    steps, share = block // STEP, LANES // block
    (outs, ins), groups = np.nonzero(live), -(-live.shape[0] // share)
    packed = np.zeros((groups, live.shape[1], taps, steps, share, block, STEP), np.int8)
    packed[outs // share, ins, :, :, outs % share] = words.reshape(-1, taps, block, steps, STEP).swapaxes(2, 3)
    packed = packed.reshape(groups, -1, LANES * STEP)
    offsets = np.add.outer(np.add.outer(np.arange(live.shape[1]) * in_pitch, at_tap), np.arange(steps) * STEP).ravel()
    order = np.argsort(offsets)
    needed = np.any(packed.view(np.uint64), axis=2)[:, order]
    tiles, first = [], 0
    while first < groups:
        count = _shared(needed[first : first + most])
        union = order[needed[first : first + count].any(axis=0)]
        weights = packed[first : first + count, union].swapaxes(0, 1)
        offset = made.pointer(offsets[union].astype(np.int32))
        tiles.append(Tile(first, count, len(union), offset, made.pointer(weights)))
        first += count
    array = (Tile * len(tiles))(*tiles)
    made.arrays.append(array)
    made.what.tiles, made.what.tile = len(tiles), ctypes.addressof(array)


def _shared(needed: NDArray[np.bool_]) -> int:
    """How many of these groups are best one tile: three or four alike, say, or only the first.

    needed: bool [groups, steps].
    """
    union = np.logical_or.accumulate(needed).sum(axis=1)
    worth = union * np.arange(1, len(needed) + 1) <= UNION_WORTH * needed.sum(axis=1).cumsum()
    return len(needed) if worth.all() else int(worth.argmin())


# --- COPY, VEC, POOL ---------------------------------------------------------------------------------------------


def _copy(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    found = sides(packet, machine)
    if found is None:
        return []
    source, to = found
    move = Move(packet["move"])
    if move not in (Move.DATA_TO_ACT, Move.ACT_TO_ACT, Move.FILL_ACT, Move.ACT_TO_DATA) or to.overlaps_itself():
        return None
    if packet["unit"]:
        return None
    in_data = (move == Move.DATA_TO_ACT, move == Move.ACT_TO_DATA)
    for region, data in zip((source, to), in_data, strict=True):
        if region is not None and not data and region.end() > machine.act.size:
            return None
    made = NativeStep(COPY, Copy())
    c = made.what
    (c.outer, c.rows, c.blocks), c.inner = to.counts, to.inner
    c.to = _side(to, in_data[1])
    if source is None:
        c.fill, c.value = 1, packet["pad"]
        return [made]
    c.source = _side(source, in_data[0])
    c.overlap = move == Move.ACT_TO_ACT and source.base < to.end() and to.base < source.end()
    made.scratch = int(np.prod(to.shape)) if c.overlap else 0
    return [made]


def _side(region: memory.Region, in_data: bool) -> Side:
    return Side(in_data, region.base, *region.strides, region.ring, region.slot)


def _vec(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    block, rows, width, blocks = machine.hw.block, packet["out_h"], packet["out_w"], packet["out_blocks"]
    kind = BKind(packet["b_kind"])
    a, out = (act_region(packet, p, block, rows=rows, width=width, blocks=blocks) for p in ("a", "out"))
    sizes = {BKind.TENSOR: (rows, width, blocks), BKind.ROW: (1, 1, blocks), BKind.COLUMN: (rows, width, 1)}
    b = []
    if kind != BKind.SCALAR:
        size = sizes[kind]
        b = [act_region(packet, "b", block, rows=size[0], width=size[1], blocks=size[2])]
    if not _fits(machine, out, a, same=True) or not _fits(machine, out, *b, same=kind == BKind.TENSOR):
        return None
    pairs = pairs_of(packet)
    if packet["table_enable"]:
        pairs = apply_table(pairs, machine.table_at(packet["table_base"]))
    made = NativeStep(VEC, Vec())
    v = made.what
    v.a, v.b, v.out = _region(a), _region(b[0] if b else a), _region(out)
    v.block, v.rows, v.width, v.blocks = block, rows, width, blocks
    v.b_kind, v.b_scalar, v.pairs = kind, packet["b_scalar"], made.pointer(pairs)
    return [made]


def _pool(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    block, blocks = machine.hw.block, packet["in_blocks"]
    source, out = (
        act_region(packet, p, block, rows=packet[f"{p}_h"], width=packet[f"{p}_w"], blocks=blocks)
        for p in ("in", "out")
    )
    if not _fits(machine, out, source, same=False):
        return None
    average = packet["mode"] == PoolMode.AVERAGE
    made = NativeStep(POOL, Pool())
    p = made.what
    p.input, p.out, p.block, p.blocks, p.average = _region(source), _region(out), block, blocks, average
    for name in ("channels", "in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w"):
        setattr(p, name, packet[name])
    for name in ("pad_top", "pad_left", "in_zero", "rounding", "lo", "hi"):
        setattr(p, name, packet[name])
    p.zero = packet["out_zero"]
    scales = np.stack(window_scales(packet, machine), axis=-1) if average else np.zeros((1, 2), np.int64)
    p.record = made.pointer(np.broadcast_to(scales, (packet["out_h"], packet["out_w"], 2)))
    return [made]


MAKERS: dict[str, Callable[[Packet, Machine, int], list[NativeStep] | None]] = {
    "CONV": _conv,
    "GEMM": _gemm,
    "COPY": _copy,
    "VEC": _vec,
    "POOL": _pool,
    "JUMP": lambda packet, machine, groups: [],
    "HALT": lambda packet, machine, groups: [],
}
