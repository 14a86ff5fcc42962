"""Random legal COPY packets of every layout: nested, planar, overlapping and wrapping destinations, rings, masks.

Not here: running them (copy_bench.py). Sources on chip avoid the words that the bench's noise writes.
"""

from __future__ import annotations

import random

import numpy as np
from copy_side.copy_bench import NOISE_WORDS
from numpy.typing import NDArray

from vla_isa.encoding import make_packet
from vla_isa.generated.codes import Unit
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.packet import Packet

__all__ = ["random_copy"]

_SIDES = {
    "data_to_act": ("data", "act"),
    "act_to_act": ("act", "act"),
    "fill_act": ("none", "act"),
    "data_to_param": ("data", "param"),
    "weight_to_weight": ("weight space", "weight"),
    "act_to_data": ("act", "data"),
    "act_to_weight": ("act", "weight"),
    "data_to_weight": ("data", "weight"),
}


def random_copy(
    rng: random.Random,
    hw: HardwareConfig,
    move: str,
    *,
    data: tuple[int, int],
    weight_words: int,
    act: tuple[int, int] | None = None,
    limit: int = 600,
) -> Packet:
    """A random COPY of kind `move` that moves at most `limit` words.

    Args:
        rng: source of everything random.
        hw: the hardware config.
        move: a name of MOVES.
        data: first line, and end, of the data space it may touch.
        weight_words: size of the weight space.
        act: first word, and end, of the activation memory it may touch; None: all of it, wrapping at the end.
        limit: words moved.
    """
    while True:
        fields = _counts(rng, move, limit)
        counts = [fields[f"n{i}"] for i in range(4)]
        if move == "act_to_act" and rng.random() < 0.4:
            fields |= {"unit": Unit.TRANSPOSE, "n0": -(-counts[0] // hw.block)}
            counts[0] = fields["n0"] * hw.block
        ok = True
        touched = []
        for side, memory in zip(("src", "dst"), _SIDES[move], strict=True):
            if memory == "none":
                continue
            run = _run(hw, counts[0], _SIDES[move], memory)
            ok = ok and _place(rng, hw, fields, side, memory, run, data=data, weight_words=weight_words, act=act)
            if not ok:
                break
            touched.append(_words(fields, side, run, hw.act_words if memory == "act" else 1 << 40))
        if ok and move == "act_to_act":
            ok = not np.intersect1d(*touched).size
        if ok and _SIDES[move][0] == "act":
            ok = touched[0].max(initial=0) < hw.act_words - NOISE_WORDS
        if ok:
            return make_packet("COPY", move=MOVES.index(move), pad=rng.randint(-128, 127), **fields)


def _counts(rng: random.Random, move: str, limit: int) -> dict[str, int]:
    """n0 to n3, rarely one of them zero; a mask for some weights."""
    while True:
        n = [
            rng.choice((1, rng.randint(1, 9), rng.randint(1, limit // 2))),
            rng.randint(1, 6),
            rng.randint(1, 6),
            rng.randint(1, 3),
        ]
        if rng.random() < 0.05:
            n[rng.randrange(4)] = 0
        fields = {f"n{i}": v for i, v in enumerate(n)}
        if move == "weight_to_weight" and rng.random() < 0.5:
            fields |= {"n3": 1, "n1": rng.randint(1, 24), "mask_enable": 1, "mask_base": rng.randrange(32)}
        if np.prod([fields[f"n{i}"] for i in range(4)]) <= limit:
            return fields


def _run(hw: HardwareConfig, n0: int, sides: tuple[str, str], memory: str) -> int:
    """Units of `memory` in a run of n0 words."""
    if sides == ("act", "weight") and memory == "act":
        return n0 * hw.block
    if memory != "data":
        return n0
    words = {"param": hw.param_word_bytes, "weight": hw.weight_word_bytes}
    return -(-n0 * words.get(sides[1], hw.act_word_bytes) // 64)


def _place(
    rng: random.Random,
    hw: HardwareConfig,
    fields: dict[str, int],
    side: str,
    memory: str,
    run: int,
    *,
    data: tuple[int, int],
    weight_words: int,
    act: tuple[int, int] | None,
) -> bool:
    """Add base, strides and ring of one side to `fields`; False if they do not fit."""
    n1, n2, n3 = fields["n1"], fields["n2"], fields["n3"]
    rows = n2
    if memory == "act" and rng.random() < 0.4:
        rows = n2 + rng.choice((1, 1, 2, 4))
        fields |= {f"{side}_ring": rows, f"{side}_slot": rng.randrange(rows)}
    order, reach, strides = [("1", n1), ("2", rows), ("3", n3)], run, {}
    if rng.random() < 0.3:
        rng.shuffle(order)
    for name, count in order:
        strides[name] = reach + rng.choice((0, 0, 0, 1, 2, 7))
        if rng.random() < 0.06:
            strides[name] = rng.randint(0, reach)  # overlaps itself
        reach += strides[name] * max(count - 1, 0)
    fields |= {f"{side}_stride{k}": v for k, v in strides.items()}
    low, high = {
        "data": data,
        "weight space": (0, weight_words),
        "weight": (0, hw.weight_words),
        "param": (0, hw.param_words),
        "act": act or (0, hw.act_words),
    }[memory]
    wraps = memory in ("weight", "param") or (memory == "act" and act is None)
    near = rng.random() < 0.5  # close together, so that packets touch what others moved
    top = high - 1 if wraps else high - reach
    if top < low:
        return False
    fields[side] = rng.randint(low, min(top, low + 300) if near else top)
    return True


def _words(fields: dict[str, int], side: str, run: int, size: int) -> NDArray[np.int64]:
    """Every unit the side touches."""
    i0, i1, i2, i3 = np.ogrid[0:run, 0 : fields["n1"], 0 : fields["n2"], 0 : fields["n3"]]
    ring = fields.get(f"{side}_ring", 0)
    slot = (i2 + fields[f"{side}_slot"]) % ring if ring else i2
    s1, s2, s3 = (fields[f"{side}_stride{k}"] for k in "123")
    return np.asarray((fields[side] + i0 + i1 * s1 + slot * s2 + i3 * s3) % size).reshape(-1)
