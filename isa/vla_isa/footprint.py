"""Which words of which memory a packet reads and writes: exact, as merged intervals.

Spaces and their words: "data" (64-byte lines), "weight_hbm" and "weight" (weight words), "act", "param".
Addresses are not wrapped and not bounds-checked (see `validate.py`). Reading a part of a line or of a
parameter word counts as reading it. Masks are read from the parameter memory's contents when given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import ProgramError
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.intervals import Intervals, merge, runs, single
from vla_isa.packet import Packet

__all__ = ["SPACES", "Access", "Params", "footprint", "live_blocks", "mask_words", "moved_lines", "taps"]

SPACES = ("data", "weight_hbm", "act", "weight", "param")
TABLE_BYTES = 256
Params = NDArray[np.uint8]  # contents of the parameter memory, [param_words, 8 * B]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Access:
    """The words of one space that a packet reads, or writes.

    Attributes:
        space: a name of `SPACES`.
        write: written, else read.
        words: merged intervals, int64 [n, 2].
        role: the operand, for messages ("in", "out", "records", ...).
        repeated: some word is covered more than once; for a write, the last value would depend on order.
    """

    space: str
    write: bool
    words: Intervals
    role: str
    repeated: bool


def footprint(packet: Packet, hw: HardwareConfig, params: Params | None = None) -> list[Access]:
    """The accesses of a legal packet, empty ones left out.

    Args:
        packet: passes `encoding.illegal`.
        hw: the machine.
        params: contents of the parameter memory when the packet runs; None takes every mask bit as set.

    Raises:
        ProgramError: an operand larger than its memory, or a mask that does not fit a parameter word.
    """
    accesses = _FOOTPRINTS[packet.name](packet, hw, params)
    return [a for a in accesses if len(a.words)]


def mask_words(packet: Packet) -> range:
    """Parameter words whose contents decide the footprint; empty when none does."""
    if packet.name == "CONV" and packet["mask_mode"] == 1:
        return range(packet["mask_base"], packet["mask_base"] + packet["out_blocks"])
    if packet.name == "COPY" and packet["mask_enable"]:
        return range(packet["mask_base"], packet["mask_base"] + packet["n2"])
    return range(0)


def live_blocks(packet: Packet, hw: HardwareConfig, params: Params | None) -> Bools:
    """Which weight blocks of a CONV or a masked COPY exist: bool [out blocks, in blocks].

    Raises:
        ProgramError: more in blocks than bits in a parameter word, or mask words outside the memory.
    """
    conv = packet.name == "CONV"
    outs, ins = (packet["out_blocks"], packet["in_blocks"]) if conv else (packet["n2"], packet["n1"])
    if conv and packet["mask_mode"] == 2:
        return np.eye(outs, ins, dtype=np.bool_)
    words = mask_words(packet)
    if not words:
        return np.ones((outs, ins), dtype=np.bool_)
    bits = 8 * hw.param_word_bytes
    if ins > bits:
        raise ProgramError(
            f"{packet.name}: a mask of {ins} in blocks exceeds the {bits} bits of a parameter "
            f"word on '{hw.name}'; cut the packet by in blocks"
        )
    if words.stop > hw.param_words:
        raise ProgramError(
            f"{packet.name}: mask words {words.start}..{words.stop - 1} exceed the "
            f"{hw.param_words} words of the parameter memory on '{hw.name}'"
        )
    if params is None:
        return np.ones((outs, ins), dtype=np.bool_)
    rows = params[words.start : words.stop]
    return np.unpackbits(rows, axis=1, bitorder="little")[:, :ins].astype(np.bool_)


@lru_cache(maxsize=4096)
def taps(outputs: int, kernel: int, stride: int, dilation: int, pad: int, size: int) -> NDArray[np.int64]:
    """Input indices in [0, size) that a window touches over all outputs: sorted, distinct, int64."""
    index = np.arange(outputs)[:, None] * stride + np.arange(kernel) * dilation - pad
    touched = np.zeros(size, np.bool_)
    touched[index[(index >= 0) & (index < size)]] = True
    return np.flatnonzero(touched)


def _access(space: str, write: bool, role: str, words: Intervals) -> Access:
    merged, repeated = merge(words)
    return Access(space, write, merged, role, repeated)


def _fits(packet: Packet, role: str, words: int, limit: int, memory: str) -> None:
    if words > limit:
        raise ProgramError(f"{packet.name}: '{role}' has {words} words, more than the {limit} of the {memory}")


def _tensor(packet: Packet, role: str, rows: NDArray[np.int64], blocks: NDArray[np.int64], x: Intervals) -> Intervals:
    """Words of pixels `x` (intervals) of `rows` and channel `blocks` of a region of the packet."""
    slots = (packet[f"{role}_slot"] + rows) % packet[f"{role}_ring"]
    start = (
        packet[f"{role}_base"]
        + (slots * packet[f"{role}_row_stride"])[:, None, None]
        + (blocks * packet[f"{role}_pitch"])[None, :, None]
        + x[None, None, :, 0]
    )
    end = start + (x[:, 1] - x[:, 0])
    return np.stack([start.ravel(), end.ravel()], axis=1)


def _whole(packet: Packet, role: str, h: int, w: int, blocks: int) -> Intervals:
    return _tensor(packet, role, np.arange(h), np.arange(blocks), single(0, w))


def _table(packet: Packet, hw: HardwareConfig) -> Iterator[Access]:
    if packet["table_enable"]:
        words = -(-TABLE_BYTES // hw.param_word_bytes)
        yield _access("param", False, "table", single(packet["table_base"], words))


def _conv(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    _fits(packet, "in", v["in_h"] * v["in_w"] * v["in_blocks"], hw.act_words, "activation scratchpad")
    _fits(packet, "out", v["out_h"] * v["out_w"] * v["out_blocks"], hw.act_words, "activation scratchpad")
    live = live_blocks(packet, hw, params)
    rows = taps(v["out_h"], v["kernel_h"], v["stride_h"], v["dilation_h"], v["pad_top"], v["in_h"])
    cols = taps(v["out_w"], v["kernel_w"], v["stride_w"], v["dilation_w"], v["pad_left"], v["in_w"])
    blocks = np.flatnonzero(live.any(axis=0))
    yield _access("act", False, "in", _tensor(packet, "in", rows, blocks, runs(cols)))
    yield _access("weight", False, "weights", single(v["weight_base"], int(live.sum()) * v["kernel_h"] * v["kernel_w"]))
    records = v["out_blocks"] + v["residual_enable"]
    yield _access("param", False, "records", single(v["param_base"], records))
    yield from _table(packet, hw)
    mask = mask_words(packet)
    yield _access("param", False, "mask", single(mask.start, len(mask)))
    if v["residual_enable"]:
        yield _access("act", False, "res", _whole(packet, "res", v["out_h"], v["out_w"], v["out_blocks"]))
    yield _access("act", True, "out", _whole(packet, "out", v["out_h"], v["out_w"], v["out_blocks"]))


def _gemm(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values

    def operand(role: str, space: str, write: bool, blocks: int, pitch: int, width: int, limit: int) -> Access:
        stride = v[f"{role}_batch_stride"]
        batches = v["batch"] if stride or write else 1
        _fits(packet, role, batches * blocks * width, limit, f"'{space}' memory")
        start = v[f"{role}_base"] + np.arange(batches)[:, None] * stride + np.arange(blocks) * pitch
        return _access(space, write, role, np.stack([start.ravel(), start.ravel() + width], axis=1))

    yield operand("in", "act", False, v["k_blocks"], v["in_pitch"], v["m"], hw.act_words)
    yield operand("weight", "weight", False, 1, 0, v["n_blocks"] * v["k_blocks"], hw.weight_words)
    records = 1 if v["scale_by"] == 1 else v["n_blocks"]
    yield _access("param", False, "records", single(v["param_base"], records))
    yield from _table(packet, hw)
    yield operand("out", "act", True, v["n_blocks"], v["out_pitch"], v["m"], hw.act_words)


def moved_lines(move: int, n0: int, hw: HardwareConfig) -> int:
    """Data-space lines of one contiguous run of `n0` words of a COPY."""
    word = hw.param_word_bytes if MOVES[move] == "data_to_param" else hw.act_word_bytes
    return -(-n0 * word // LINE_BYTES)


def _copy_side(packet: Packet, side: str, length: int, ring: bool) -> Intervals:
    """Words of the source or destination of a COPY without mask; steps of stride 0 are visited once."""
    v = packet.values
    rows = np.arange(v["n2"])
    if ring and v[f"{side}_ring"]:
        rows = (v[f"{side}_slot"] + rows) % v[f"{side}_ring"]
    start = (
        v[side]
        + (np.arange(v["n3"]) * v[f"{side}_stride3"])[:, None, None]
        + (rows * v[f"{side}_stride2"])[None, :, None]
        + (np.arange(v["n1"]) * v[f"{side}_stride1"])[None, None, :]
    ).ravel()
    return np.stack([start, start + length], axis=1)


def _copy(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    move = MOVES[v["move"]]
    words = v["n0"] * v["n1"] * v["n2"] * v["n3"]
    if words == 0:
        return
    limit = {"data_to_param": hw.param_words, "weight_to_weight": hw.weight_words}.get(move, hw.act_words)
    lines = moved_lines(v["move"], v["n0"], hw)
    if v["mask_enable"]:
        yield from _masked_copy(packet, hw, params)
        return
    _fits(packet, "dst", words, limit, "memory it moves to or from")
    if move in ("data_to_act", "data_to_param"):
        yield _access("data", False, "src", _copy_side(packet, "src", lines, False))
    elif move in ("act_to_act", "act_to_data"):
        yield _access("act", False, "src", _copy_side(packet, "src", v["n0"], True))
    elif move == "weight_to_weight":
        yield _access("weight_hbm", False, "src", _copy_side(packet, "src", v["n0"], False))
    space = {"data_to_param": "param", "weight_to_weight": "weight", "act_to_data": "data"}.get(move, "act")
    length = lines if space == "data" else v["n0"]
    yield _access(space, True, "dst", _copy_side(packet, "dst", length, space == "act"))


def _masked_copy(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    live = live_blocks(packet, hw, params)
    outs, ins = np.nonzero(live)
    _fits(packet, "dst", v["n0"] * len(outs), hw.weight_words, "weight scratchpad")
    mask = mask_words(packet)
    yield _access("param", False, "mask", single(mask.start, len(mask)))
    start = v["src"] + outs * v["src_stride2"] + ins * v["src_stride1"]
    yield _access("weight_hbm", False, "src", np.stack([start, start + v["n0"]], axis=1))
    yield _access("weight", True, "dst", single(v["dst"], v["n0"] * len(outs)))


def _window_counts(outputs: int, kernel: int, stride: int, pad: int, size: int) -> NDArray[np.int64]:
    """Distinct numbers of taps of one dimension that lie inside the input."""
    first = np.arange(outputs) * stride - pad
    return np.unique(np.clip(first + kernel, 0, size) - np.clip(first, 0, size))


def _pool(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    _fits(packet, "in", v["in_h"] * v["in_w"] * v["in_blocks"], hw.act_words, "activation scratchpad")
    _fits(packet, "out", v["out_h"] * v["out_w"] * v["in_blocks"], hw.act_words, "activation scratchpad")
    rows = taps(v["out_h"], v["kernel_h"], v["stride_h"], 1, v["pad_top"], v["in_h"])
    cols = taps(v["out_w"], v["kernel_w"], v["stride_w"], 1, v["pad_left"], v["in_w"])
    yield _access("act", False, "in", _tensor(packet, "in", rows, np.arange(v["in_blocks"]), runs(cols)))
    if v["mode"] == 1:
        used = np.array([0])
        if v["count"] == 1:
            high = _window_counts(v["out_h"], v["kernel_h"], v["stride_h"], v["pad_top"], v["in_h"])
            wide = _window_counts(v["out_w"], v["kernel_w"], v["stride_w"], v["pad_left"], v["in_w"])
            inside = np.multiply.outer(high, wide)
            used = np.unique((inside[inside > 0] - 1) // hw.block)
        yield _access("param", False, "records", v["param_base"] + runs(used))
    yield _access("act", True, "out", _whole(packet, "out", v["out_h"], v["out_w"], v["in_blocks"]))


def _vec(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    v = packet.values
    h, w, blocks = v["out_h"], v["out_w"], v["out_blocks"]
    _fits(packet, "out", h * w * blocks, hw.act_words, "activation scratchpad")
    yield _access("act", False, "a", _whole(packet, "a", h, w, blocks))
    # b's size by kind: tensor, row (one pixel per block), column (one block); a scalar reads nothing
    sizes = {0: (h, w, blocks), 1: (1, 1, blocks), 2: (h, w, 1)}
    if v["b_kind"] in sizes:
        yield _access("act", False, "b", _whole(packet, "b", *sizes[v["b_kind"]]))
    yield from _table(packet, hw)
    yield _access("act", True, "out", _whole(packet, "out", h, w, blocks))


def _nothing(packet: Packet, hw: HardwareConfig, params: Params | None) -> Iterator[Access]:
    return iter(())


_FOOTPRINTS: dict[str, Callable[[Packet, HardwareConfig, Params | None], Iterator[Access]]] = {
    "CONV": _conv,
    "GEMM": _gemm,
    "COPY": _copy,
    "POOL": _pool,
    "VEC": _vec,
    "JUMP": _nothing,
    "HALT": _nothing,
}
