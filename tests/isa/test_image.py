"""The program file: exact round trip; anything else is refused with a reason, before anything runs."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from isa_programs import changed, decoded, pipeline, with_packets

from vla_isa import container, image
from vla_isa.container import ALIGNMENT, ENTRY_BYTES
from vla_isa.encoding import encode, make_packet
from vla_isa.errors import OutputError, ProgramError
from vla_isa.hardware import load
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment
from vla_isa.validate import validate


def same(a: Program, b: Program) -> bool:
    return np.array_equal(a.weights, b.weights) and replace(a, weights=b.weights) == b


@pytest.mark.parametrize("config", ["tiny", "u50", "u50-2port"])
def test_round_trip(config: str, tmp_path: Path) -> None:
    program = pipeline(config)
    path = tmp_path / "prog.bin"
    image.save(program, path)
    assert path.read_bytes() == image.dumps(program)
    loaded = image.load(path)
    assert same(loaded, program) and same(image.loads(path.read_bytes()), program)
    assert not loaded.weights.flags.writeable and loaded.weights.base is not None  # stays in the file
    assert [p.name for p in tmp_path.iterdir()] == ["prog.bin"]


def test_flipped_bytes_are_refused() -> None:
    """Every byte of the header and the section table, those around every section's ends, and a sample of the others."""
    data = image.dumps(pipeline())
    (count,) = struct.unpack_from("<I", data, 12)
    table = [struct.unpack_from("<16sQQ", data, ALIGNMENT + ENTRY_BYTES * n)[1:] for n in range(count)]
    ends = [end for start, size in table for end in (start, start + size)]
    chosen = {*range(min(ends)), *(i for end in ends for i in range(end - 2, end + 2)), *range(0, len(data), 97)}
    for i in sorted(i for i in chosen if i < len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 1 << (i % 8)
        with pytest.raises(ProgramError):
            image.loads(bytes(damaged))


def test_every_truncation_and_any_addition_is_refused() -> None:
    data = image.dumps(pipeline())
    for size in [*range(600), *range(600, len(data), 37), len(data) - 1]:
        with pytest.raises(ProgramError, match=r"truncated|no program file"):
            image.loads(data[:size])
    for tail in (b"\0", b"x", bytes(64)):
        with pytest.raises(ProgramError, match="nothing may follow"):
            image.loads(data + tail)


def resealed(data: bytearray) -> bytes:
    """The header's CRC made right again."""
    data[60:64] = struct.pack("<I", zlib.crc32(data[:60]))
    return bytes(data)


def test_header_says_what_is_wrong() -> None:
    data = bytearray(image.dumps(pipeline()))
    for version, reason in ((3, "version 3; this release reads 2"), (1, "no longer read")):
        other = data.copy()
        other[8:12] = struct.pack("<I", version)
        with pytest.raises(ProgramError, match=reason):
            image.loads(resealed(other))
    other = data.copy()
    other[24] ^= 1
    with pytest.raises(ProgramError, match="another version of the instruction set"):
        image.loads(resealed(other))
    for foreign in (b"", b"\x7fELF" + bytes(200), b"hello", bytes(1000), b"PK\3\4"):
        with pytest.raises(ProgramError, match="no program file"):
            image.loads(foreign)
    with pytest.raises(ProgramError, match="sections"):
        other = data.copy()
        other[12:16] = struct.pack("<I", 1 << 31)
        image.loads(resealed(other))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="cannot be read"):
        image.load(tmp_path / "missing.bin")
    with pytest.raises(ProgramError, match="cannot be read"):
        image.load(tmp_path)
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(ProgramError, match=r"empty.bin.*no program file"):
        image.load(tmp_path / "empty.bin")
    with pytest.raises(OutputError, match="does not exist; create it first"):
        image.save(pipeline(), tmp_path / "no" / "such" / "folder.bin")
    bad = replace(pipeline(), manifest={"x": float("nan")})
    with pytest.raises(ProgramError, match="cannot be written"):
        image.save(bad, tmp_path / "bad.bin")
    assert [p.name for p in tmp_path.iterdir()] == ["empty.bin"]


def with_section(name: str, content: bytes) -> bytes:
    """A well-formed file with one section replaced."""
    sections = container.read(memoryview(image.dumps(pipeline())))
    return b"".join(container.write([(n, content if n == name else bytes(d)) for n, d in sections.items()]))


def edited(section: str, path: list[str | int], value: object) -> bytes:
    """A well-formed file with one JSON value replaced."""
    root = json.loads(bytes(container.read(memoryview(image.dumps(pipeline())))[section]))
    at = root
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return with_section(section, json.dumps(root).encode())


@pytest.mark.parametrize(
    ("section", "path", "value", "reason"),
    [
        ("config", ["block"], 7, "block must be 8 or 16"),
        ("config", ["block"], "8", "block must be a positive integer"),
        ("config", ["block"], ..., "missing key 'block'"),
        ("config", ["blok"], 8, "unknown key 'blok'"),
        ("config", ["name"], 5, "name must be a non-empty string"),
        ("entries", ["main"], -1, "entry point 'main' is packet -1"),
        ("entries", ["main"], 18, "there are 18 packets"),
        ("entries", ["main"], True, "entries.main must be an integer, found True"),
        ("entries", ["main"], ..., "no entry point"),
        ("io", ["data_bytes"], 100, "multiple of 64"),
        ("io", ["data_bytes"], 1 << 45, "data_bytes is"),
        ("io", ["data_bytes"], 64 * 3000, "outside the program's 3000"),
        ("io", ["inputs", 0, "scale"], 0.0, "not a positive number"),
        ("io", ["inputs", 0, "scale"], "1", "scale must be a number"),
        ("io", ["inputs", 0, "zero_point"], 128, "zero point 128 is outside"),
        ("io", ["inputs", 0, "line"], 4095, "outside the program's 4096"),
        ("io", ["inputs", 0, "line"], -1, "outside the program's"),
        ("io", ["inputs", 0, "line"], 0, "overlaps the heap"),
        ("io", ["inputs", 0, "line"], 1.5, "line must be an integer"),
        ("io", ["inputs", 0, "extra"], 1, "unknown key 'extra'"),
        ("io", ["inputs", 0, "layout", "block"], 16, "channel blocks of 16"),
        ("io", ["inputs", 0, "layout", "h"], 5, "inconsistent tensor layout"),
        ("io", ["inputs", 0, "layout", "shape"], None, "shape must be a list"),
        ("io", ["inputs", 0, "layout", "channel_map"], [[0]], "must be a list of 2"),
        ("io", ["inputs", 0, "layout", "channel_map"], [[8, 16], [0, 0]], "inconsistent tensor layout"),
        ("io", ["inputs", 0, "layout", "planes"], 1, "'planes' is left out where it is 1"),
        ("io", ["inputs", 0, "layout", "planes"], 3, "inconsistent tensor layout"),
        ("memory_map", [0, "start"], None, "must be an integer"),
        ("memory_map", [0], ["x"], "must be an object"),
        ("sources", [0, "packet"], 18, "names packet 18 of 18"),
        ("sources", [0, "node"], ..., "missing key 'node'"),
        ("manifest", ["numbers"], {"a": 1 << 70}, None),
    ],
)
def test_json_is_read_strictly(section: str, path: list[str | int], value: object, reason: str | None) -> None:
    data = edited(section, path, value)
    if reason is None:
        assert image.loads(data).manifest["numbers"] == value
        return
    with pytest.raises(ProgramError) as e:
        image.loads(data)
    assert reason in str(e.value)


@pytest.mark.parametrize(
    ("section", "content"),
    [
        ("config", b""),
        ("config", b"[]"),
        ("config", b"{"),
        ("entries", b'{"a":0,"a":1}'),
        ("manifest", b"\xff"),
        ("manifest", b"[" * 100_000),
        ("manifest", b'{"a":NaN}'),
        ("manifest", b"[]"),
        ("manifest", b'{"a":1} x'),
        ("weights", b"x"),
        ("heaps", b""),
        ("heaps", struct.pack("<Q", 1 << 60)),
        ("heaps", bytes(8)),
        ("heaps", struct.pack("<QQQ", 1, 0, 1 << 40)),
        ("heaps", struct.pack("<QQQ", 1, 0, 32) + bytes(72)),
        ("heaps", struct.pack("<QQQ", 1, 0, 0)),
        ("constants", struct.pack("<QQQ", 1, 1 << 63, 0)),
        ("constants", bytes(8) + b"\0"),
    ],
)
def test_crafted_sections_are_refused(section: str, content: bytes) -> None:
    with pytest.raises(ProgramError):
        image.loads(with_section(section, content))


def test_sections_must_be_the_known_ones() -> None:
    sections = [(n, bytes(d)) for n, d in container.read(memoryview(image.dumps(pipeline()))).items()]
    for wrong in (sections[:-1], sections[::-1], [*sections, ("extra", b"")], []):
        with pytest.raises(ProgramError, match="sections"):
            image.loads(b"".join(container.write(wrong)))
    with pytest.raises(ProgramError, match="inconsistent"):
        image.loads(b"".join(container.write([*sections, sections[0]])))


# --- addresses --------------------------------------------------------------------------------------

TINY = load("tiny")
OUTSIDE = {
    "conv input": (3, {"in_base": TINY.act_words - 1}, "'in' reads act word"),
    "conv output": (3, {"out_pitch": 16383}, "'out' writes act word"),
    "conv weights": (3, {"weight_base": TINY.weight_words - 1}, "'weights' reads weight word"),
    "conv records": (3, {"param_base": TINY.param_words - 1}, "'records' reads param word"),
    "conv table": (3, {"table_enable": 1, "table_base": TINY.param_words - 1}, "'table' reads param word"),
    "conv residual": (
        3,
        {"residual_enable": 1, "res_ring": 4, "res_base": TINY.act_words - 1, "res_pitch": 8},
        "'res' reads act word",
    ),
    "conv mask": (3, {"mask_mode": 1, "mask_base": TINY.param_words - 1}, "mask words"),
    "conv huge": (3, {"in_h": 2047, "in_ring": 2047, "in_w": 16383, "in_blocks": 1023}, "more than the 16384"),
    "pool output": (4, {"out_row_stride": 1 << 19}, "'out' writes act word"),
    "vec operand": (5, {"b_row_stride": 1 << 19}, "'b' reads act word"),
    "copy source line": (2, {"src": 1 << 31}, "'src' reads data word"),
    "copy target": (2, {"dst": TINY.act_words}, "'dst' writes act word"),
    "copy huge": (2, {"n0": 65535, "n1": 4095, "n2": 4095, "n3": 4095}, "more than the 16384"),
    "weight space": (1, {"src": 60}, "'src' reads weight_hbm word"),
    "weight scratchpad": (1, {"dst": TINY.weight_words - 1}, "'dst' writes weight word"),
    "parameters": (0, {"dst": TINY.param_words - 1}, "'dst' writes param word"),
    "store line": (6, {"dst": 4095}, "'dst' writes data word"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_addresses_outside_a_memory(case: str) -> None:
    number, values, reason = OUTSIDE[case]
    program = pipeline()
    words = decoded(program)
    words[number] = changed(words[number], **values)
    with pytest.raises(ProgramError) as e:
        image.loads(image.dumps(with_packets(program, words)))
    assert reason in str(e.value) and f"packet {number} " in str(e.value)


def test_illegal_packets_only_when_asked() -> None:
    program = pipeline()
    words = decoded(program)
    bad = bytearray(b"".join(map(encode, words)))
    bad[5 * 64 + 63] = 0x80
    data = image.dumps(replace(program, heaps=[Segment(0, bytes(bad))]))
    with pytest.raises(ProgramError, match=r"packet 5 is illegal \(RESERVED_BITS\)"):
        image.loads(data)
    assert image.loads(data, allow_illegal=True).heaps[0].data == bytes(bad)


def heaps(*contents: tuple[int, list[Packet]]) -> Program:
    return replace(
        pipeline(), heaps=[Segment(line, b"".join(map(encode, words))) for line, words in contents], sources=[]
    )


HALT = make_packet("HALT")


def jump(target: int) -> Packet:
    return make_packet("JUMP", target=target)


def test_jumps() -> None:
    validate(heaps((0, [jump(512)]), (512, [HALT])))
    validate(heaps((0, [jump(512)]), (512, [jump(600)]), (600, [HALT])))
    for program, reason in (
        (heaps((0, [jump(513)]), (512, [HALT, HALT])), "where no heap starts"),
        (heaps((0, [jump(512)]), (512, [jump(0)])), "reached twice"),
        (heaps((0, [jump(0)])), "reached twice"),
        (heaps((0, [make_packet("COPY")])), "neither JUMP nor HALT"),
        (heaps((1, [HALT])), "must lie at data line 0"),
        (heaps((0, [HALT, HALT]), (1, [HALT])), "overlap at data line 1"),
        (heaps((0, [HALT]), (1024, [HALT])), "overlap at data line 1024"),
        (heaps((0, [HALT]), (4095, [HALT, HALT])), "outside the program's 4096"),
        (heaps((0, [HALT] * 1025)), "more than 65536"),
        (heaps((0, [HALT]), (512, [])), "at least one"),
        (heaps(), "must lie at data line 0"),
    ):
        with pytest.raises(ProgramError, match=reason):
            validate(program)


def test_other_parts() -> None:
    program = pipeline()
    with pytest.raises(ProgramError, match="weights are int16"):
        validate(replace(program, weights=program.weights.astype(np.int16)))
    with pytest.raises(ProgramError, match="two inputs have the same name"):
        validate(replace(program, inputs=program.inputs * 2))
