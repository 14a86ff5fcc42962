"""Footprints against sets built word by word from the meaning of each instruction."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_isa.encoding import encode, illegal, make_packet
from vla_isa.errors import ProgramError
from vla_isa.footprint import footprint, taps
from vla_isa.hardware import HardwareConfig, load
from vla_isa.instructions import BY_NAME, MOVES, ErrorCode
from vla_isa.intervals import expand, merge, runs
from vla_isa.memories import Memories
from vla_isa.operands import Arena
from vla_isa.packet import Packet

Words = dict[tuple[str, bool], set[int]]
CONFIGS = ("tiny", "u50")


def found(packet: Packet, hw: HardwareConfig, params: np.ndarray | None) -> Words:
    out: Words = defaultdict(set)
    for access in footprint(packet, hw, params):
        assert (access.words[:, 1] > access.words[:, 0]).all()
        assert (access.words[1:, 0] > access.words[:-1, 1]).all(), "merged and sorted"
        out[access.space, access.write] |= set(expand(access.words).tolist())
    return dict(out)


def pixel(p: Packet, role: str, y: int, c: int, x: int) -> int:
    row = (p[f"{role}_slot"] + y) % p[f"{role}_ring"]
    return p[f"{role}_base"] + row * p[f"{role}_row_stride"] + c * p[f"{role}_pitch"] + x


def table_words(p: Packet, hw: HardwareConfig) -> set[int]:
    return {p["table_base"] + i // hw.param_word_bytes for i in range(256)} if p["table_enable"] else set()


def slow_conv(p: Packet, hw: HardwareConfig, params: np.ndarray) -> Words:
    out: Words = defaultdict(set)
    weight = p["weight_base"]
    for o, i in product(range(p["out_blocks"]), range(p["in_blocks"])):
        bit = params[p["mask_base"] + o][i // 8] >> (i % 8) & 1 if p["mask_mode"] == 1 else 1
        if not bit or (p["mask_mode"] == 2 and o != i):
            continue
        for ky, kx in product(range(p["kernel_h"]), range(p["kernel_w"])):
            out["weight", False].add(weight)
            weight += 1
            for oy, ox in product(range(p["out_h"]), range(p["out_w"])):
                y = oy * p["stride_h"] + ky * p["dilation_h"] - p["pad_top"]
                x = ox * p["stride_w"] + kx * p["dilation_w"] - p["pad_left"]
                if 0 <= y < p["in_h"] and 0 <= x < p["in_w"]:
                    out["act", False].add(pixel(p, "in", y, i, x))
    for o, oy, ox in product(range(p["out_blocks"]), range(p["out_h"]), range(p["out_w"])):
        out["act", True].add(pixel(p, "out", oy, o, ox))
        if p["residual_enable"]:
            out["act", False].add(pixel(p, "res", oy, o, ox))
    out["param", False] = table_words(p, hw) | {p["param_base"] + o for o in range(p["out_blocks"])}
    if p["residual_enable"]:
        out["param", False].add(p["param_base"] + p["out_blocks"])
    if p["mask_mode"] == 1:
        out["param", False] |= {p["mask_base"] + o for o in range(p["out_blocks"])}
    return dict(out)


def slow_pool(p: Packet, hw: HardwareConfig, params: np.ndarray) -> Words:
    out: Words = defaultdict(set)
    for c, oy, ox in product(range(p["in_blocks"]), range(p["out_h"]), range(p["out_w"])):
        inside = 0
        for ky, kx in product(range(p["kernel_h"]), range(p["kernel_w"])):
            y, x = oy * p["stride_h"] + ky - p["pad_top"], ox * p["stride_w"] + kx - p["pad_left"]
            if 0 <= y < p["in_h"] and 0 <= x < p["in_w"]:
                inside += 1
                out["act", False].add(pixel(p, "in", y, c, x))
        out["act", True].add(pixel(p, "out", oy, c, ox))
        if p["mode"] == 1 and (p["count"] == 0 or inside):
            record = inside - 1 if p["count"] else 0
            out["param", False].add(p["param_base"] + record // hw.block)
    return dict(out)


def slow_vec(p: Packet, hw: HardwareConfig, params: np.ndarray) -> Words:
    out: Words = defaultdict(set)
    for c, y, x in product(range(p["out_blocks"]), range(p["out_h"]), range(p["out_w"])):
        out["act", True].add(pixel(p, "out", y, c, x))
        out["act", False].add(pixel(p, "a", y, c, x))
        b = {0: (y, c, x), 1: (0, c, 0), 2: (y, 0, x)}.get(p["b_kind"])
        if b is not None:
            out["act", False].add(pixel(p, "b", *b))
    out["param", False] = table_words(p, hw)
    return {k: v for k, v in out.items() if v}


def slow_gemm(p: Packet, hw: HardwareConfig, params: np.ndarray) -> Words:
    out: Words = defaultdict(set)
    for batch, n, m in product(range(p["batch"]), range(p["n_blocks"]), range(p["m"])):
        out["act", True].add(p["out_base"] + batch * p["out_batch_stride"] + n * p["out_pitch"] + m)
        out["param", False].add(p["param_base"] + (n if p["scale_by"] == 0 else 0))
        for k in range(p["k_blocks"]):
            out["act", False].add(p["in_base"] + batch * p["in_batch_stride"] + k * p["in_pitch"] + m)
            out["weight", False].add(p["weight_base"] + batch * p["weight_batch_stride"] + n * p["k_blocks"] + k)
    out["param", False] |= table_words(p, hw)
    return dict(out)


def slow_copy(p: Packet, hw: HardwareConfig, params: np.ndarray) -> Words:
    move = MOVES[p["move"]]
    source = {
        "data_to_act": "data",
        "data_to_param": "data",
        "act_to_act": "act",
        "act_to_data": "act",
        "weight_to_weight": "weight_hbm",
    }.get(move)
    target = {"data_to_param": "param", "weight_to_weight": "weight", "act_to_data": "data"}.get(move, "act")
    unit = hw.param_word_bytes if move == "data_to_param" else hw.block
    out: Words = defaultdict(set)
    packed = p["dst"]

    def words(side: str, space: str, i3: int, i2: int, i1: int) -> set[int]:
        row = i2
        if space == "act" and p[f"{side}_ring"]:
            row = (p[f"{side}_slot"] + i2) % p[f"{side}_ring"]
        start = p[side] + i1 * p[f"{side}_stride1"] + row * p[f"{side}_stride2"] + i3 * p[f"{side}_stride3"]
        if space == "data":
            return {start + byte // 64 for byte in range(p["n0"] * unit)}
        return set(range(start, start + p["n0"]))

    for i3, i2, i1 in product(range(p["n3"]), range(p["n2"]), range(p["n1"])):
        if p["mask_enable"] and not params[p["mask_base"] + i2][i1 // 8] >> (i1 % 8) & 1:
            continue
        if source:
            out[source, False] |= words("src", source, i3, i2, i1)
        if p["mask_enable"]:
            out[target, True] |= set(range(packed, packed + p["n0"]))
            packed += p["n0"]
        else:
            out[target, True] |= words("dst", target, i3, i2, i1)
    if p["mask_enable"] and p["n1"] * p["n3"] * p["n0"]:
        out["param", False] = {p["mask_base"] + i for i in range(p["n2"])}
    return {k: v for k, v in out.items() if v}


def region(rng: random.Random, role: str, rows: int) -> dict[str, int]:
    ring = rng.randint(max(rows, 1), rows + 3)
    return {
        f"{role}_base": rng.randrange(200),
        f"{role}_row_stride": rng.randrange(40),
        f"{role}_ring": ring,
        f"{role}_pitch": rng.randrange(12),
        f"{role}_slot": rng.randrange(ring),
    }


def draw_conv(rng: random.Random, hw: HardwareConfig) -> Packet:
    outs, ins = rng.randint(1, 4), rng.randint(1, 4)
    mode = rng.randrange(3)
    sizes = {f"{k}_{s}": rng.randint(1, 7) for k in ("in", "out") for s in "hw"}
    return make_packet(
        "CONV",
        **sizes,
        in_blocks=ins if mode < 2 else outs,
        out_blocks=outs,
        mask_mode=mode,
        **region(rng, "in", sizes["in_h"]),
        **region(rng, "out", sizes["out_h"]),
        **region(rng, "res", sizes["out_h"]),
        **{f"kernel_{s}": rng.randint(1, 4) for s in "hw"},
        **{f"stride_{s}": rng.randint(1, 4) for s in "hw"},
        **{f"dilation_{s}": rng.randint(1, 3) for s in "hw"},
        pad_top=rng.randrange(5),
        pad_left=rng.randrange(5),
        weight_base=rng.randrange(50),
        param_base=rng.randrange(20),
        mask_base=rng.randrange(20),
        table_enable=rng.randrange(2),
        table_base=rng.randrange(20),
        residual_enable=rng.randrange(2),
    )


def draw_pool(rng: random.Random, hw: HardwareConfig) -> Packet:
    sizes = {f"{k}_{s}": rng.randint(1, 7) for k in ("in", "out") for s in "hw"}
    return make_packet(
        "POOL",
        **sizes,
        in_blocks=rng.randint(1, 3),
        **region(rng, "in", sizes["in_h"]),
        **region(rng, "out", sizes["out_h"]),
        **{f"kernel_{s}": rng.randint(1, 7) for s in "hw"},
        **{f"stride_{s}": rng.randint(1, 4) for s in "hw"},
        pad_top=rng.randrange(4),
        pad_left=rng.randrange(4),
        mode=rng.randrange(2),
        count=rng.randrange(2),
        param_base=rng.randrange(20),
    )


def draw_vec(rng: random.Random, hw: HardwareConfig) -> Packet:
    h = rng.randint(1, 6)
    return make_packet(
        "VEC",
        out_h=h,
        out_w=rng.randint(1, 9),
        out_blocks=rng.randint(1, 3),
        b_kind=rng.randrange(4),
        **region(rng, "a", h),
        **region(rng, "b", h),
        **region(rng, "out", h),
        table_enable=rng.randrange(2),
        table_base=rng.randrange(20),
    )


def draw_gemm(rng: random.Random, hw: HardwareConfig) -> Packet:
    names = (
        "in_base",
        "in_pitch",
        "in_batch_stride",
        "out_base",
        "out_pitch",
        "out_batch_stride",
        "weight_base",
        "weight_batch_stride",
        "param_base",
        "table_base",
    )
    return make_packet(
        "GEMM",
        **{k: rng.choice((0, rng.randrange(40))) for k in names},
        batch=rng.randint(1, 3),
        m=rng.randint(1, 9),
        k_blocks=rng.randint(1, 4),
        n_blocks=rng.randint(1, 4),
        scale_by=rng.randrange(2),
        table_enable=rng.randrange(2),
    )


def draw_copy(rng: random.Random, hw: HardwareConfig) -> Packet:
    mask = rng.random() < 0.3
    n2 = rng.randrange(5)
    rings = {f"{s}_ring": rng.choice((0, rng.randint(max(n2, 1), 7))) for s in ("src", "dst")}
    return make_packet(
        "COPY",
        move=4 if mask else rng.randrange(6),
        mask_enable=mask,
        mask_base=rng.randrange(20),
        src=rng.randrange(99),
        dst=rng.randrange(99),
        n0=rng.randrange(9),
        n1=rng.randrange(5),
        n2=n2,
        n3=rng.randrange(2 if mask else 4),
        **rings,
        **{f"{s}_slot": rng.randrange(max(rings[f"{s}_ring"], 1)) for s in ("src", "dst")},
        **{f"{s}_stride{i}": rng.randrange(20) for s in ("src", "dst") for i in (1, 2, 3)},
    )


CASES = {
    "CONV": (draw_conv, slow_conv),
    "POOL": (draw_pool, slow_pool),
    "VEC": (draw_vec, slow_vec),
    "GEMM": (draw_gemm, slow_gemm),
    "COPY": (draw_copy, slow_copy),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_exact(name: str, config: str, seed: int) -> None:
    hw, rng = load(config), random.Random(seed)
    draw, slow = CASES[name]
    packet = draw(rng, hw)
    assert illegal(encode(packet), hw)[0] is ErrorCode.OK
    params = np.random.default_rng(seed).integers(0, 256, (hw.param_words, hw.param_word_bytes), np.uint8)
    assert found(packet, hw, params) == slow(packet, hw, params)


def test_fetch_touches_nothing() -> None:
    assert footprint(make_packet("HALT"), load("tiny")) == footprint(make_packet("JUMP"), load("tiny")) == []


def test_mask_unknown_is_full() -> None:
    packet = make_packet("CONV", in_blocks=3, out_blocks=2, mask_mode=1)
    dense = make_packet("CONV", in_blocks=3, out_blocks=2)
    hw = load("tiny")
    assert found(packet, hw, None)["weight", False] == found(dense, hw, None)["weight", False]


def test_repeated_writes_are_noticed() -> None:
    hw = load("tiny")
    for pitch, repeated in ((4, False), (3, True)):
        packet = make_packet("VEC", out_w=4, out_blocks=2, out_pitch=pitch, b_kind=3, a_pitch=4)
        (write,) = (a for a in footprint(packet, hw) if a.write)
        assert write.repeated is repeated


def test_operands_larger_than_memory() -> None:
    for packet in (
        make_packet("CONV", out_h=2047, out_ring=2047, out_w=16383, out_blocks=1023),
        make_packet("GEMM", batch=1023, m=16383, k_blocks=4095, in_batch_stride=1),
        make_packet("GEMM", batch=100, m=1000),  # its output
        make_packet("COPY", n0=65535, n1=4095, n2=4095, n3=4095),
        make_packet("POOL", in_h=2047, in_ring=2047, in_w=16383, in_blocks=1023),
        make_packet("VEC", out_h=2047, out_ring=2047, a_ring=2047, b_ring=2047, out_w=16383),
    ):
        with pytest.raises(ProgramError, match="more than the"):
            footprint(packet, load("tiny"))


def test_mask_longer_than_a_word() -> None:
    with pytest.raises(ProgramError, match="600 in blocks exceeds the 512 bits"):
        footprint(make_packet("CONV", in_blocks=600, mask_mode=1), load("tiny"))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12))
def test_intervals(pairs: list[tuple[int, int]]) -> None:
    given_words = [w for start, size in pairs for w in range(start, start + size)]
    merged, twice = merge(np.array([(s, s + n) for s, n in pairs], np.int64).reshape(-1, 2))
    assert expand(merged).tolist() == sorted(set(given_words))
    assert twice == (len(given_words) != len(set(given_words)))
    assert np.array_equal(runs(expand(merged)), merged)


def test_taps() -> None:
    assert taps(3, 1, 3, 1, 0, 9).tolist() == [0, 3, 6]
    assert taps(4, 3, 1, 1, 1, 4).tolist() == [0, 1, 2, 3]
    assert taps(2, 2, 1, 4, 0, 20).tolist() == [0, 1, 4, 5]


class Watched:
    """A memory that notes which of its words are read and written."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.read, self.written = array, set[int](), set[int]()

    def __getitem__(self, index: object) -> np.ndarray:
        self.read |= set(np.atleast_1d(index).reshape(-1).tolist())
        return self.array[index]

    def __setitem__(self, index: object, value: np.ndarray) -> None:
        self.written |= set(np.atleast_1d(index).reshape(-1).tolist())
        self.array[index] = value

    def view(self, kind: type) -> Watched:
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", ["GEMM", "ROW", "REDUCE", "RECIP", "COPY", "VEC"])
def test_is_what_the_meaning_touches(name: str, config: str) -> None:
    """Every word that a packet reads or writes, and no other; rows of GATHER are in test_instructions.py."""
    hw = load(config)
    for seed in range(40):
        rng, arena = np.random.default_rng(seed), Arena(hw)
        packet = BY_NAME[name].packet(**BY_NAME[name].operands.draw(rng, arena))
        memories = Memories(hw, np.zeros(0, np.int8), np.zeros((0, hw.weight_word_bytes), np.int8))
        watched = {space: Watched(getattr(memories, space)) for space in ("act", "weight", "param")}
        for space, memory in watched.items():
            values = rng.integers(0, 256, memory.shape, np.uint8).view(memory.array.dtype)
            memory.array[:] = values
            setattr(memories, space, memory)
        packet.instruction.meaning(packet, memories)
        touched = found(packet, hw, None)
        for space, memory in watched.items():
            assert memory.read == touched.get((space, False), set()), (seed, space)
            assert memory.written == touched.get((space, True), set()), (seed, space)
