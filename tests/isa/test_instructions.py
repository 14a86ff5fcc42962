"""What an instruction's file says agrees with itself, and what is derived from it with the table."""

from __future__ import annotations

import numpy as np
import pytest

from vla_isa.encoding import encode, illegal
from vla_isa.footprint import footprint
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig, load
from vla_isa.instructions import BY_NAME, TABLE, ErrorCode
from vla_isa.instructions.shared_fields import REGION_FIELDS
from vla_isa.intervals import expand
from vla_isa.memories import Memories
from vla_isa.operands import Arena
from vla_isa.packet import Packet

WITH_OPERANDS = [ins.name for ins in TABLE if ins.operands is not None]
SPACES = ("act", "weight", "param")
PACKETS = 40


def drawn(name: str, hw: HardwareConfig, seed: int) -> tuple[Packet, Memories]:
    """A small packet and memories full of random bytes around its parameters."""
    rng, arena = np.random.default_rng(seed), Arena(hw)
    operands = BY_NAME[name].operands
    assert operands is not None
    packet = BY_NAME[name].packet(**operands.draw(rng, arena))
    memories = Memories(hw, np.zeros(0, np.int8), np.zeros((0, hw.weight_word_bytes), np.int8))
    for space in SPACES:
        memory = getattr(memories, space)
        memory[:] = rng.integers(0, 256, memory.shape, np.uint8).view(memory.dtype)
    params = np.concatenate([np.zeros((0, hw.param_word_bytes), np.uint8), *arena.params])
    memories.param[: len(params)] = params
    for base, data in arena.contents:
        memories.act[base : base + len(data)] = data
    return packet, memories


def words(packet: Packet, memories: Memories, *, write: bool) -> dict[str, np.ndarray]:
    found = {space: np.zeros(len(getattr(memories, space)), np.bool_) for space in SPACES}
    for access in footprint(packet, memories.hw, memories.param):
        if access.write is write:
            found[access.space][expand(access.words)] = True
    return found


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("name", WITH_OPERANDS)
def test_the_meaning_keeps_to_the_footprint(name: str, config: str) -> None:
    """It writes no other words, and its results hang on no other words."""
    hw = load(config)
    for seed in range(PACKETS if config == "tiny" else PACKETS // 4):
        packet, memories = drawn(name, hw, seed)
        assert illegal(encode(packet), hw)[0] is ErrorCode.OK
        read, written = (words(packet, memories, write=w) for w in (False, True))
        before = {space: getattr(memories, space).copy() for space in SPACES}
        other = Memories(hw, memories.data, memories.weight_space)
        for space in SPACES:
            scrambled = np.where(read[space][:, None], before[space], ~before[space])
            getattr(other, space)[:] = scrambled
        packet.instruction.meaning(packet, memories)
        packet.instruction.meaning(packet, other)
        if packet.values.get("index_kind") == codes.GatherIndex.ITEMS:  # items stand for all rows of the table
            written["act"] &= (memories.act != before["act"]).any(axis=1)
        for space in SPACES:
            after = getattr(memories, space)
            assert np.array_equal(after[~written[space]], before[space][~written[space]]), (seed, space)
            assert np.array_equal(after[written[space]], getattr(other, space)[written[space]]), (seed, space)


@pytest.mark.parametrize("name", WITH_OPERANDS)
def test_the_bases_are_those_of_what_a_packet_touches(name: str) -> None:
    hw = load("tiny")
    for seed in range(PACKETS):
        packet, memories = drawn(name, hw, seed)
        roles = {a.role for a in footprint(packet, hw, memories.param) if a.space == "act"}
        bases = {f.removesuffix("_base") for f in packet.instruction.act_bases(packet)}
        assert roles <= bases <= roles | {"in"}, dict(packet.values)  # a CONV without a live block reads no "in"


def test_the_operands_name_fields() -> None:
    for name in WITH_OPERANDS:
        ins = BY_NAME[name]
        assert ins.operands is not None and {*ins.operands.inputs, ins.operands.output} <= set(ins.by_name)
        for region, use in ins.operands.regions.items():
            assert {f"{region}_base", f"{region}_pitch", *use.on, *use.two_rows, *use.two_blocks} <= set(ins.by_name)


def test_every_instruction_of_an_engine_has_operands() -> None:
    assert [i.name for i in TABLE if i.implemented and i.operands is None] == ["SET", "LOOP", "JUMP", "HALT"]


def test_region_fields() -> None:
    assert REGION_FIELDS == ("base", "row_stride", "pitch", "ring", "slot")
    for name, roles in {"CONV": ("in", "out", "res"), "POOL": ("in", "out"), "VEC": ("a", "b", "out")}.items():
        assert all(f"{role}_{f}" in BY_NAME[name].by_name for role in roles for f in REGION_FIELDS)


def test_codes_number_the_enumerations_of_the_table() -> None:
    found = {f.code: f.enum for ins in TABLE for f in ins.fields if f.enum}
    for code, names in found.items():
        assert [(m.name.lower(), m.value) for m in getattr(codes, code)] == list(zip(names, range(99), strict=False))
    assert (codes.MaskMode.DIAGONAL, codes.BKind.SCALAR, codes.Move.ACT_TO_DATA, codes.Rounding.FLOOR) == (2, 3, 5, 2)
    assert (codes.SEMAPHORES, codes.LARGEST_COUNT, codes.TABLE_BYTES) == (16, 255, 256)


def test_limits_and_choices_by_name() -> None:
    conv = BY_NAME["CONV"]
    assert [conv.limit(f) for f in ("in_h", "in_w", "stride_h", "kernel_h", "mask_mode")] == [2047, 16383, 4, 15, 2]
    packet = BY_NAME["COPY"].packet(move=codes.Move.DATA_TO_PARAM)
    assert (packet.choice("move"), packet.queue) == ("data_to_param", "wload")
