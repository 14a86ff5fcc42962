"""CONV and GEMM as steps: weights packed into tiles, records and tables read.

Not here: which packets have weights that are known (`backends/sim_plan.py`).
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import RESIDUAL_BYTES, MaskEmpty, MaskMode, OperandKind, ScaleBy
from vla_isa.numerics import ResidualRecord
from vla_isa.packet import Packet
from vlarun.execute.conv import input_size, live_blocks
from vlarun.memory import Bytes, Machine, Records, Region, act_region, item_region, matrix_region
from vlarun.native.binding import Conv, Gemm, Tile
from vlarun.native.step import Kind, NativeStep, fits, matrix_of, region_of, within
from vlarun.requantize import EXACT_BOUND

__all__ = ["conv", "gemm"]

LANES, STEP = 16, 4  # output channels of a group, input channels of a step
UNION_WORTH = 1.25  # groups share a tile while that multiplies at most so many times what they need
FLIPPED = 128  # what the kernels add to every activation


def conv(packet: Packet, machine: Machine, groups: int) -> list[NativeStep] | None:
    """See `make_step`."""
    block, rows, width, outs = machine.hw.block, packet["out_h"], packet["out_w"], packet["out_blocks"]
    source = act_region(packet, "in", block, rows=packet["in_h"], width=packet["in_w"], blocks=packet["in_blocks"])
    out = act_region(packet, "out", block, rows=rows, width=width, blocks=outs)
    res = act_region(packet, "res", block, rows=rows, width=width, blocks=outs) if packet["residual_enable"] else out
    if source.end() > machine.act.size or not fits(machine, out, res, same=True):
        return None
    live = live_blocks(packet, machine)
    records = machine.records_at(packet["param_base"], outs)
    if packet["mask_empty"] == MaskEmpty.ZERO and packet["mask_mode"] == MaskMode.MASK:
        records = records._replace(bias=records.bias * np.repeat(live.any(axis=1), block))
    taps = packet["kernel_h"] * packet["kernel_w"]
    words = machine.weights_at(packet["weight_base"], int(live.sum()) * taps).reshape(-1, taps, block, block)
    padded_rows, pixels = input_size(packet)
    made = NativeStep(Kind.CONV, Conv(), padded_rows * packet["in_blocks"] * pixels * block)
    c = made.what
    c.input, c.out, c.res = region_of(source), region_of(out), region_of(res)
    for name in ("in_h", "in_w", "in_blocks", "in_zero", "pad_top", "pad_left"):
        setattr(c, name, packet[name])
    for name in ("out_h", "out_w", "out_blocks", "stride_h", "stride_w"):
        setattr(c, name, packet[name])
    c.block, c.rows, c.pixels = block, padded_rows, pixels
    made.padded = (source, packet["in_zero"], packet["pad_top"], packet["pad_left"], padded_rows, pixels)
    ky, kx = np.indices((packet["kernel_h"], packet["kernel_w"])).reshape(2, -1)
    line = packet["in_blocks"] * pixels * block
    at_tap = ky * packet["dilation_h"] * line + kx * packet["dilation_w"] * block
    _finish(made, packet, machine, records, int(live.sum(axis=1).max(initial=0)) * taps * block)
    bias = np.zeros(records.bias.size, np.int64) if c.finish.wide else records.bias
    c.finish.add = made.pointer(_starts(bias - FLIPPED * _sums(words, live)))
    if packet["mask_mode"] == MaskMode.DIAGONAL and _is_depthwise(words):
        weights = np.zeros((outs, taps, LANES), np.int32)
        weights[..., :block] = np.diagonal(words, axis1=2, axis2=3)
        c.taps, c.tap = taps, made.pointer(at_tap.astype(np.int32))
        c.depthwise = made.pointer(weights)
    else:
        tiles = _tiles(made, words, live, at_tap, pixels * block, groups)
        c.tiles, c.tile = len(tiles), _tile_array(made, tiles)
    return [made]


def gemm(packet: Packet, machine: Machine, groups: int, *, computed: bool = False) -> list[NativeStep] | None:
    """See `make_step`."""
    block, batch, h, m = machine.hw.block, packet["batch"], packet["h"], packet["m"]
    n_blocks, k_blocks, count = packet["n_blocks"], packet["k_blocks"], packet["n_blocks"] * packet["k_blocks"]
    weight_end = packet["weight_base"] + (batch - 1) * packet["weight_batch_stride"] + count
    if not _gemm_fits(packet, machine) or weight_end > machine.hw.weight_words:
        return None
    made = NativeStep(Kind.GEMM, Gemm())
    g, step = made.what, block // STEP
    for name in ("batch", "h", "m", "k_blocks", "n_blocks", "res_kind", "row_max", "limit", "limit_step"):
        setattr(g, name, packet[name])
    g.block, g.wide_out, g.by_row = block, packet["out_bytes"], packet["scale_by"] == ScaleBy.ROW
    for name, region in _gemm_regions(packet, block).items():
        setattr(g, name, matrix_of(region))
    g.row_base, g.row_batch_stride = packet["row_base"] * block, packet["row_batch_stride"] * block
    g.weight_base, g.weight_batch_stride = (packet[name] * block**2 for name in ("weight_base", "weight_batch_stride"))
    records = _gemm_records(packet, machine)
    _finish(made, packet, machine, records, k_blocks * block)
    made.scratch = h * k_blocks * m * block + (2 * h * m + 63) // 64 * 64 * packet["row_max"]
    offsets = np.add.outer(np.arange(k_blocks) * m * block, np.arange(step) * STEP).ravel()
    bias = np.zeros(records.bias.size, np.int64) if g.finish.wide else records.bias
    if computed:
        g.offsets = made.pointer(offsets.astype(np.int32))
        g.finish.add = made.pointer(_starts(bias))
        made.scratch += groups * k_blocks * block * LANES
        return [made]
    live, starts, tiles = np.ones((n_blocks, k_blocks), np.bool_), [], []
    for number in range(batch if packet["weight_batch_stride"] else 1):
        words = machine.weights_at(packet["weight_base"] + number * packet["weight_batch_stride"], count)
        words = words.reshape(-1, 1, block, block)
        starts.append(_starts(bias - FLIPPED * _sums(words, live)))
        tiles.append(_tiles(made, words, live, np.zeros(1, np.int64), m * block, groups))
    g.finish.add, g.add_stride = made.pointer(np.concatenate(starts)), starts[0].size if len(starts) > 1 else 0
    ends = np.cumsum([0, *(len(t) for t in tiles)])
    spans = np.stack([ends[:-1], ends[1:]], axis=1)
    g.tile, g.tile_span = (
        _tile_array(made, [tile for each in tiles for tile in each]),
        made.pointer(np.broadcast_to(spans, (batch, 2))),
    )
    return [made]


def _gemm_regions(packet: Packet, block: int) -> dict[str, Region]:
    """Matrices of the packet by field of the structure."""
    batch, h, m, n_blocks = packet["batch"], packet["h"], packet["m"], packet["n_blocks"]
    found = {
        "input": matrix_region(packet, "in", (batch, h, packet["k_blocks"], m), 1, block),
        "out": matrix_region(packet, "out", (batch, h, n_blocks, m), 1 + packet["out_bytes"], block),
    }
    if packet["res_kind"]:
        rows, pixels = (h, m) if packet["res_kind"] == OperandKind.TENSOR else (1, 1)
        found["res"] = matrix_region(packet, "res", (batch, rows, n_blocks, pixels), 2, block)
    return found


def _gemm_fits(packet: Packet, machine: Machine) -> bool:
    """Whether nothing wraps, and no batch writes what another one or its own records and residual are read from."""
    block, batch, pixels = machine.hw.block, packet["batch"], packet["h"] * packet["m"]
    regions = _gemm_regions(packet, block)
    source, out = regions["input"], regions["out"]
    others = [source] if batch > 1 else []
    if not fits(machine, out, *others, same=False) or not within(machine, source):
        return False
    if "res" in regions and not fits(machine, out, regions["res"], same=packet["res_kind"] == OperandKind.TENSOR):
        return False
    if not packet["row_max"] and packet["scale_by"] != ScaleBy.ROW:
        return True
    rows = item_region(packet["row_base"], pixels, batch, packet["row_batch_stride"], block)
    read = [out, *others, *([regions["res"]] if "res" in regions else [])]
    return fits(machine, rows, *(read if packet["row_max"] else [out]), same=False)


def _gemm_records(packet: Packet, machine: Machine) -> Records:
    """A record for every column; of rows, which are read when it runs, zeros."""
    columns = packet["n_blocks"] * machine.hw.block
    if packet["scale_by"] == ScaleBy.ROW:
        return Records(*np.zeros((3, columns), np.int64))
    if packet["scale_by"] == ScaleBy.TENSOR:
        return Records(*(np.repeat(r[:1], columns) for r in machine.records_at(packet["param_base"], 1)))
    return machine.records_at(packet["param_base"], packet["n_blocks"])


def _is_depthwise(words: Bytes) -> bool:
    """Whether only diagonals of words [n, taps, B, B] are not zero."""
    return not (words * ~np.eye(words.shape[2], dtype=np.bool_)).any()


def _sums(words: Bytes, live: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of the weights of each output channel."""
    by_block = np.zeros((*live.shape, words.shape[2]), np.int64)
    by_block[live] = np.einsum("ntoi->no", words, dtype=np.int32)
    sums: NDArray[np.int64] = by_block.sum(axis=1).reshape(-1)
    return sums


def _filled(channels: int) -> int:
    """Channels in groups filled up, and one group more to read from."""
    return -(-channels // LANES) * LANES + LANES


def _starts(values: NDArray[np.int64]) -> NDArray[np.uint32]:
    """What sums of channels start from, modulo 2^32."""
    starts = np.zeros(_filled(values.size), np.uint32)
    starts[: values.size] = (values & 0xFFFFFFFF).astype(np.uint32)
    return starts


def _finish(made: NativeStep, packet: Packet, machine: Machine, records: Records, depth: int) -> None:
    """`struct Finish` less `add`: records by channel, the table, the residual's record; a sum has `depth` products."""
    f, count = made.what.finish, records.mult.size
    wide = int(np.abs(records.bias).max(initial=0)) + (depth << 14) >= EXACT_BOUND
    scale, record = np.zeros(_filled(count)), np.zeros((_filled(count), 3), np.int64)
    scale[:count] = records.mult * np.exp2(-records.shift.astype(np.float64))
    record[:count] = np.stack(records, axis=1)
    f.scale, f.record, f.wide = made.pointer(scale), made.pointer(record), wide
    f.rounding, f.zero, f.lo, f.hi = packet["rounding"], packet["out_zero"], packet["lo"], packet["hi"]
    if packet["table_enable"]:
        f.table = made.pointer(machine.table_at(packet["table_base"]))
    if packet.values.get("residual_enable"):
        word = machine.params_at(packet["param_base"] + packet["out_blocks"], 1).reshape(-1)
        r = ResidualRecord.unpack(word[:RESIDUAL_BYTES].tobytes())
        f.residual, f.a_zero, f.b_zero, f.out_zero = 1, r.a_zero, r.b_zero, r.out_zero
        f.residual_lo, f.residual_hi = r.lo, r.hi
        f.a_scale, f.b_scale = r.a_mult * 2.0**-r.shift, r.b_mult * 2.0**-r.shift


def _tiles(
    made: NativeStep, words: Bytes, live: NDArray[np.bool_], at_tap: NDArray[np.int64], in_pitch: int, most: int
) -> list[Tile]:
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
    return tiles


def _tile_array(made: NativeStep, tiles: list[Tile]) -> int:
    """The address of some tiles, kept as long as the step."""
    array = (Tile * len(tiles))(*tiles)
    made.arrays.append(array)
    return ctypes.addressof(array)


def _shared(needed: NDArray[np.bool_]) -> int:
    """How many of these groups are best one tile: three or four alike, say, or only the first.

    needed: bool [groups, steps].
    """
    union = np.logical_or.accumulate(needed).sum(axis=1)
    worth = union * np.arange(1, len(needed) + 1) <= UNION_WORTH * needed.sum(axis=1).cumsum()
    return len(needed) if worth.all() else int(worth.argmin())
