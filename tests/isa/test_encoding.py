"""Packets survive every form: bytes, text; what dispatch refuses is refused with the right code."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isa_strategies import any_packets, legal_packet

from vla_isa.assembly import assemble, disassemble, format_packet
from vla_isa.encoding import decode, encode, illegal, make_packet
from vla_isa.errors import EncodingError
from vla_isa.hardware import load
from vla_isa.instructions import BY_NAME, TABLE, ErrorCode
from vla_isa.packet import Packet


@given(any_packets())
def test_bytes_round_trip(packet: Packet) -> None:
    data = encode(packet)
    assert len(data) == 64 and data[0] == packet.instruction.opcode
    assert decode(data) == packet


@given(st.lists(any_packets(), max_size=5))
def test_text_round_trip(packets: list[Packet]) -> None:
    assert assemble(disassemble(packets)) == packets


def test_every_instruction_by_default() -> None:
    packets = [make_packet(i.name) for i in TABLE]
    assert assemble(disassemble(packets)) == packets
    assert [decode(encode(p)) for p in packets] == packets


def test_text_is_readable() -> None:
    packet = make_packet("CONV", in_base=8, in_zero=-3, rounding=1, wait=0b1001, signal=2)
    assert format_packet(packet) == "CONV in_base=8 in_zero=-3 rounding=half_up wait=0,3 signal=1"
    text = "\n# a comment\n  conv in_base=0x8 in_zero=-0x3 rounding=1 signal=1 wait=3,0  # another\n\n"
    assert assemble(text) == [packet]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("HALT\nCONF in_h=1", "line 2: unknown instruction 'CONF'. Did you mean 'CONV'"),
        ("CONV in_bas=1", "has no field 'in_bas'. Did you mean 'in_base'"),
        ("CONV in_h", "not of the form field=value"),
        ("CONV in_h=", "not of the form field=value"),
        ("CONV in_h=1 in_h=2", "in_h is given twice"),
        ("CONV in_h=x1", "'x1' is not a number"),
        ("CONV in_h=1_0", "'1_0' is not a number"),
        ("CONV in_h=2048", "in_h: 2048 does not fit"),
        ("CONV in_zero=128", "in_zero: 128 does not fit"),
        ("CONV rounding=half", "none of nearest_even, half_up, floor. Did you mean 'half_up'"),
        ("CONV wait=16", "'16' is not a semaphore"),
        ("CONV wait=1,1", "semaphore 1 is given twice"),
        ("CONV wait=-1", "'-1' is not a semaphore"),
        ("CONV opcode=1", "no field 'opcode'"),
        ("CONV reserved=0", "no field 'reserved'"),
    ],
)
def test_bad_text(text: str, reason: str) -> None:
    with pytest.raises(EncodingError) as e:
        assemble(text)
    assert reason in str(e.value)
    assert str(e.value).startswith("line ")


def test_bad_packets() -> None:
    with pytest.raises(EncodingError, match="64 bytes, found 63"):
        decode(bytes(63))
    with pytest.raises(EncodingError, match="unknown opcode 0x00"):
        decode(bytes(64))
    with pytest.raises(EncodingError, match="unknown instruction"):
        make_packet("NOPE")
    with pytest.raises(EncodingError, match="no field 'opcode'"):
        make_packet("HALT", opcode=255)
    with pytest.raises(EncodingError, match="does not fit"):
        make_packet("HALT", code=1 << 32)


HW = load("tiny")


def _word(name: str, **values: int) -> int:
    return int.from_bytes(encode(make_packet(name, **values)), "little")


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (0, ErrorCode.ILLEGAL_OPCODE),
        (0x0E, ErrorCode.ILLEGAL_OPCODE),
        (_word("SET"), ErrorCode.OK),
        (_word("HALT"), ErrorCode.OK),
        (_word("HALT") | 1 << 511, ErrorCode.RESERVED_BITS),
        (_word("CONV"), ErrorCode.OK),
        (_word("CONV", stride_h=5), ErrorCode.FIELD_LIMIT),
        (_word("CONV", kernel_h=0), ErrorCode.FIELD_LIMIT),
        (_word("CONV", in_base=HW.act_words - 1), ErrorCode.OK),
        (_word("CONV", in_base=HW.act_words), ErrorCode.FIELD_LIMIT),
        (_word("CONV", in_slot=1), ErrorCode.FIELD_LIMIT),
        (_word("CONV", mask_mode=2, in_blocks=2), ErrorCode.FIELD_LIMIT),
        (_word("CONV", stride_h=5) | 1 << 511, ErrorCode.RESERVED_BITS),
        (_word("COPY", move=6), ErrorCode.OK),
        (_word("COPY", move=6, unit=1), ErrorCode.FIELD_LIMIT),
        (_word("COPY", move=1, unit=1), ErrorCode.OK),
        (_word("COPY", mask_enable=1, move=4, n3=1), ErrorCode.OK),
        (_word("COPY", mask_enable=1, move=3, n3=1), ErrorCode.FIELD_LIMIT),
        (_word("GEMM", scale_by=2), ErrorCode.OK),
        (_word("GEMM", scale_by=3), ErrorCode.FIELD_LIMIT),
        (_word("GEMM", row_max=1, scale_by=1), ErrorCode.FIELD_LIMIT),
        (_word("GEMM", row_max=1, scale_by=1, out_bytes=1, h=32, m=32), ErrorCode.OK),
        (_word("GEMM", row_max=1, scale_by=1, out_bytes=1, h=25, m=41), ErrorCode.FIELD_LIMIT),
        (_word("ROW", function=1), ErrorCode.FIELD_LIMIT),
        (_word("ROW", function=1, b_kind=2), ErrorCode.OK),
        (_word("ROW", row_mode=1, table_mode=2), ErrorCode.FIELD_LIMIT),
        (_word("RECIP", mult=(1 << 23) - 1), ErrorCode.FIELD_LIMIT),
        (_word("GATHER", index_kind=1, first=7, n=3, table_rows=9), ErrorCode.FIELD_LIMIT),
        (_word("GATHER", index_kind=1, first=7, n=2, table_rows=9), ErrorCode.OK),
    ],
)
def test_illegal_codes(word: int, code: ErrorCode) -> None:
    found, reason = illegal(word.to_bytes(64, "little"), HW)
    assert found is code and bool(reason) == (code is not ErrorCode.OK)


@settings(max_examples=200)
@given(st.integers(0, 1 << 32), st.sampled_from(("tiny", "u50")))
def test_every_reserved_bit_is_refused(seed: int, config: str) -> None:
    hw, rng = load(config), random.Random(seed)
    packet = legal_packet(hw, rng)
    reserved = BY_NAME[packet.name].by_name["reserved"]
    word = int.from_bytes(encode(packet), "little") | 1 << rng.randrange(reserved.lsb, 512)
    assert illegal(word.to_bytes(64, "little"), hw)[0] is ErrorCode.RESERVED_BITS
