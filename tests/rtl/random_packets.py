"""Random legal packets whose operands stay inside the memories, for comparing backends bit for bit.

`chain` makes them run one at a time, whatever their queues.
Operands lie in the lower half of act memory and results in the upper half, so that none overlap.
Not here: packets whose addresses wrap or leave the data space (vlarun's conformance cases have them).
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any

from vla_isa.encoding import make_packet
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.packet import Packet

__all__ = ["MAKERS", "chain", "random_packet"]

Fields = dict[str, Any]


def chain(packets: list[Packet]) -> list[Packet]:
    """The packets one after the other, for the start of the heap: each waits for its predecessor.

    After 15 packets a JUMP to the next line waits for the last one, so that a semaphore never has two
    waiting packets in different queues. A JUMP ends the list: what follows it starts alone.
    """
    out: list[Packet] = []
    for first in range(0, len(packets), 15):
        group = packets[first : first + 15]
        for i, packet in enumerate(group):
            masks = {"wait": 1 << i if i else 0, "signal": 1 << (i + 1)}
            out.append(dataclasses.replace(packet, values={**packet.values, **masks}))
        out.append(make_packet("JUMP", target=len(out) + 1, wait=1 << len(group)))
    return out


def _act(rng: random.Random, hw: HardwareConfig, result: bool, words: int) -> int:
    """Where `words` activation words may start: results above operands."""
    half = hw.act_words // 2
    return (half if result else 0) + rng.randrange(half - words)


def _region(rng: random.Random, hw: HardwareConfig, p: str, h: int, w: int, blocks: int) -> Fields:
    """A region of act memory with random gaps, at a random place, half of them rings that wrap."""
    pitch = w + rng.choice((0, 0, 1, 3, 6))
    stride = blocks * pitch + rng.choice((0, 0, 5))
    ring = h + rng.choice((0, 0, 1, 3))
    return {
        f"{p}_base": _act(rng, hw, p == "out", ring * stride),
        f"{p}_row_stride": stride,
        f"{p}_pitch": pitch,
        f"{p}_ring": ring,
        f"{p}_slot": rng.randrange(ring),
    }


def _requantize(rng: random.Random) -> Fields:
    lo, hi = sorted(rng.choice(((-128, 127), (rng.randint(-128, 127), rng.randint(-128, 127)))))
    return {"rounding": rng.randrange(3), "out_zero": rng.randint(-128, 127), "lo": lo, "hi": hi}


def _conv(rng: random.Random, hw: HardwareConfig) -> Packet:
    kh, kw = rng.choice(((1, 1), (3, 3), (1, 1), (2, 5), (5, 2)))
    sh, sw, dh, dw = (rng.choice((1, 1, 2, rng.randint(1, 4))) for _ in range(4))
    oh, ow, ib, ob = rng.randint(1, 6), rng.randint(1, 12), rng.randint(1, 3), rng.randint(1, 3)
    mode = rng.randrange(3)
    if mode == 2:
        ob = ib
    top, left = rng.randrange(kh + 1), rng.randrange(kw + 1)
    ih = max(1, (oh - 1) * sh + (kh - 1) * dh + 1 - top - rng.randrange(2))
    iw = max(1, (ow - 1) * sw + (kw - 1) * dw + 1 - left - rng.randrange(2))
    words = kh * kw * ib * ob
    return make_packet(
        "CONV",
        **_region(rng, hw, "in", ih, iw, ib),
        in_h=ih,
        in_w=iw,
        in_blocks=ib,
        in_zero=rng.randint(-128, 127),
        kernel_h=kh,
        kernel_w=kw,
        stride_h=sh,
        stride_w=sw,
        dilation_h=dh,
        dilation_w=dw,
        pad_top=top,
        pad_left=left,
        **_region(rng, hw, "out", oh, ow, ob),
        out_h=oh,
        out_w=ow,
        out_blocks=ob,
        weight_base=rng.randrange(hw.weight_words - words),
        param_base=_params(rng, hw, ob + 1),
        **_requantize(rng),
        table_enable=rng.randrange(2),
        table_base=_params(rng, hw, 4),
        mask_mode=mode,
        mask_base=_params(rng, hw, ob),
        mask_empty=rng.randrange(2),
        residual_enable=rng.randrange(2),
        **_region(rng, hw, "res", oh, ow, ob),
    )


def _params(rng: random.Random, hw: HardwareConfig, words: int) -> int:
    return rng.randrange(hw.param_words - words)


def _gemm(rng: random.Random, hw: HardwareConfig) -> Packet:
    batch, m, k, n = rng.randint(1, 3), rng.choice((1, 2, rng.randint(1, 30))), rng.randint(1, 6), rng.randint(1, 4)
    in_pitch, out_pitch = m + rng.randrange(4), m + rng.randrange(4)
    in_stride, out_stride = k * in_pitch + rng.randrange(3), n * out_pitch + rng.randrange(3)
    weight_stride = rng.choice((0, k * n))
    return make_packet(
        "GEMM",
        batch=batch,
        m=m,
        k_blocks=k,
        n_blocks=n,
        in_base=_act(rng, hw, False, batch * in_stride),
        in_pitch=in_pitch,
        in_batch_stride=in_stride,
        out_base=_act(rng, hw, True, batch * out_stride),
        out_pitch=out_pitch,
        out_batch_stride=out_stride,
        weight_base=rng.randrange(hw.weight_words - batch * k * n),
        weight_batch_stride=weight_stride,
        param_base=_params(rng, hw, n),
        scale_by=rng.randrange(2),
        **_requantize(rng),
        table_enable=rng.randrange(2),
        table_base=_params(rng, hw, 4),
    )


def _pool(rng: random.Random, hw: HardwareConfig) -> Packet:
    kh, kw = rng.randint(1, 4), rng.randint(1, 4)
    sh, sw = rng.randint(1, 3), rng.randint(1, 3)
    oh, ow, blocks = rng.randint(1, 5), rng.randint(1, 9), rng.randint(1, 3)
    top, left = rng.randrange(kh), rng.randrange(kw)
    ih, iw = max(1, (oh - 1) * sh + kh - top), max(1, (ow - 1) * sw + kw - left)
    return make_packet(
        "POOL",
        **_region(rng, hw, "in", ih, iw, blocks),
        in_h=ih,
        in_w=iw,
        in_blocks=blocks,
        in_zero=rng.randint(-128, 127),
        channels=rng.randint(1, blocks * hw.block),
        mode=rng.randrange(2),
        count=rng.randrange(2),
        kernel_h=kh,
        kernel_w=kw,
        stride_h=sh,
        stride_w=sw,
        pad_top=top,
        pad_left=left,
        **_region(rng, hw, "out", oh, ow, blocks),
        out_h=oh,
        out_w=ow,
        param_base=_params(rng, hw, 2),
        **_requantize(rng),
    )


def _vec(rng: random.Random, hw: HardwareConfig) -> Packet:
    h, w, blocks = rng.randint(1, 5), rng.randint(1, 12), rng.randint(1, 3)
    return make_packet(
        "VEC",
        function=rng.randrange(8),
        b_kind=rng.randrange(4),
        b_scalar=rng.randint(-128, 127),
        **_region(rng, hw, "a", h, w, blocks),
        **_region(rng, hw, "b", h, w, blocks),
        **_region(rng, hw, "out", h, w, blocks),
        out_h=h,
        out_w=w,
        out_blocks=blocks,
        a_zero=rng.randint(-128, 127),
        b_zero=rng.randint(-128, 127),
        a_mult=rng.randrange(1 << 24),
        b_mult=rng.randrange(1 << 24),
        shift=rng.randint(12, 40),
        **_requantize(rng),
        table_enable=rng.randrange(2),
        table_base=_params(rng, hw, 4),
    )


# source and destination of the moves that random COPYs make
SIDES = {
    "data_to_act": ("data", "act"),
    "act_to_act": ("act", "act"),
    "fill_act": ("none", "act"),
    "data_to_param": ("data", "param"),
    "weight_to_weight": ("weight space", "weight"),
    "act_to_data": ("act", "data"),
}


def _copy(rng: random.Random, hw: HardwareConfig, lines: int, weight_words: int) -> Packet:
    """A COPY of any move of SIDES; data-space sources and destinations lie in the second half of `lines`."""
    move = rng.choice(list(SIDES))
    counts = [rng.randint(1, 20), rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 2)]
    fields: Fields = {"move": MOVES.index(move), "pad": rng.randint(-128, 127)}
    if move == "weight_to_weight":
        counts[0] = rng.randint(1, 6)
    for i, name in enumerate(("n0", "n1", "n2", "n3")):
        fields[name] = counts[i]
    sides = SIDES[move]
    word = {"data_to_param": hw.param_word_bytes, "weight_to_weight": 64}.get(move, hw.act_word_bytes)
    run_lines = -(-counts[0] * word // 64)
    size = {
        "data": lines // 2,
        "param": hw.param_words,
        "weight": hw.weight_words,
        "weight space": weight_words,
        "none": 1 << 20,
    }
    for side, memory in zip(("src", "dst"), sides, strict=True):
        run = run_lines if memory == "data" else counts[0]
        s1 = run + rng.choice((0, 0, 2))
        ring, rows = 0, counts[2]
        if memory == "act" and rng.random() < 0.5:
            ring = rows = counts[2] + rng.choice((0, 1, 3))
            fields[f"{side}_ring"], fields[f"{side}_slot"] = ring, rng.randrange(ring)
        s2 = counts[1] * s1 + rng.choice((0, 0, 1))
        s3 = rows * s2 + rng.choice((0, 3))
        reach = counts[3] * s3
        if memory == "act":
            fields[side] = _act(rng, hw, side == "dst", reach)
        else:
            fields[side] = (lines // 2 if memory == "data" else 0) + rng.randrange(size[memory] - reach)
        fields |= {f"{side}_stride1": s1, f"{side}_stride2": s2, f"{side}_stride3": s3}
    return make_packet("COPY", **fields)


MAKERS = {"CONV": _conv, "GEMM": _gemm, "POOL": _pool, "VEC": _vec}


def random_packet(rng: random.Random, hw: HardwareConfig, name: str, *, lines: int, weight_words: int) -> Packet:
    """A random packet of instruction `name`, for a data space of `lines` and a weight space of `weight_words`."""
    if name == "COPY":
        return _copy(rng, hw, lines, weight_words)
    return MAKERS[name](rng, hw)
