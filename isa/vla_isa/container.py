"""The outer form of a program file: header, section table, sections, zero padding, checksums.

    header (64 bytes)   magic 8 | version u32 | sections u32 | file bytes u64 | table hash 16 | 16 zero |
                        CRC of the section table u32 | CRC of the 60 bytes before u32
    section table       per section 48 bytes: name 16 | offset u64 | bytes u64 | CRC u32 | 12 zero
    sections            each at the next multiple of 64, in table order, zero between, nothing after the last

Little endian; CRC-32 as in zlib. What the sections hold is `image.py`'s.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence

from vla_isa.errors import ProgramError
from vla_isa.generated.codes import Move, Queue, Rounding
from vla_isa.instructions import TABLE

__all__ = ["ALIGNMENT", "ENTRY_BYTES", "MAGIC", "VERSION", "Buffer", "read", "table_hash", "write"]

MAGIC = b"VLAPROG\n"
VERSION = 2
ALIGNMENT = 64
MAX_SECTIONS = 64

_HEADER = struct.Struct("<8sIIQ16s16xI")  # then the header's own CRC
_ENTRY = struct.Struct("<16sQQI12x")
ENTRY_BYTES = _ENTRY.size
Buffer = bytes | memoryview


def table_hash() -> bytes:
    """16 bytes that change whenever the instruction table changes what a program means."""
    table = [
        (
            i.name,
            i.opcode,
            i.queue,
            i.implemented,
            [r.expression for r in i.rules],
            [
                (f.name, f.lsb, f.width, f.signed, f.legal_min, f.legal_max, f.below, f.enum, f.reserved)
                for f in i.fields
            ],
        )
        for i in TABLE
    ]
    text = json.dumps([table, *([code.name.lower() for code in codes] for codes in (Move, Queue, Rounding))])
    return hashlib.sha256(text.encode()).digest()[:16]


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def write(sections: Sequence[tuple[str, Buffer]]) -> list[Buffer]:
    """The file as a list of pieces to be written one after the other."""
    table_end = ALIGNMENT + _ENTRY.size * len(sections)
    offset, table, body = table_end, b"", []
    for name, data in sections:
        start = _aligned(offset)
        body += [bytes(start - offset), data]
        offset = start + len(data)
        table += _ENTRY.pack(name.encode(), start, len(data), zlib.crc32(data))
    head = _HEADER.pack(MAGIC, VERSION, len(sections), offset, table_hash(), zlib.crc32(table))
    return [head + struct.pack("<I", zlib.crc32(head)), table, *body]


def read(data: memoryview) -> dict[str, memoryview]:
    """Check a whole file and give its sections by name, as views into it.

    Raises:
        ProgramError: foreign, newer, made for another instruction table, truncated or damaged; says which.
    """
    count = _read_header(data)
    table_end = ALIGNMENT + _ENTRY.size * count
    sections: dict[str, memoryview] = {}
    position = table_end
    for i in range(count):
        raw, start, size, crc = _ENTRY.unpack_from(data, ALIGNMENT + _ENTRY.size * i)
        name = raw.rstrip(b"\0").decode("ascii", "replace")
        if start != _aligned(position) or size > len(data) - start or name in sections:
            raise ProgramError(f"the section table is inconsistent at section '{name}'; the file is damaged")
        if any(data[position:start]):
            raise ProgramError(f"the bytes before section '{name}' are not zero; the file is damaged")
        sections[name] = data[start : start + size]
        if zlib.crc32(sections[name]) != crc:
            raise ProgramError(f"section '{name}' does not match its CRC; the file is damaged")
        position = start + size
    if position != len(data):
        raise ProgramError(f"{len(data) - position} bytes follow the last section; nothing may follow it")
    return sections


def _read_header(data: memoryview) -> int:
    """Check header and section table; the number of sections."""
    if bytes(data[:8]) != MAGIC[: len(data)] or len(data) == 0:
        raise ProgramError("this is no program file: it does not start with 'VLAPROG'; make one with vlac compile")
    if len(data) < ALIGNMENT:
        raise ProgramError(f"the file ends inside its header, after {len(data)} bytes; it is truncated")
    _, version, count, size, stamp, table_crc = _HEADER.unpack_from(data)
    if zlib.crc32(data[: ALIGNMENT - 4]) != struct.unpack_from("<I", data, ALIGNMENT - 4)[0]:
        raise ProgramError("the header does not match its CRC; the file is damaged")
    if version > VERSION:
        raise ProgramError(f"the file has format version {version}; this release reads {VERSION}: update it")
    if version != VERSION:
        raise ProgramError(f"the file has format version {version}, which is no longer read; compile again")
    if stamp != table_hash():
        raise ProgramError("the program was made for another version of the instruction set; compile again")
    if size > len(data):
        raise ProgramError(f"the file has {len(data)} of its {size} bytes; it is truncated")
    if size < len(data):
        raise ProgramError(f"{len(data) - size} bytes follow the last section; nothing may follow it")
    table_end = ALIGNMENT + _ENTRY.size * count
    if count > MAX_SECTIONS or table_end > len(data):
        raise ProgramError(f"the header announces {count} sections, which do not fit; the file is damaged")
    if zlib.crc32(data[ALIGNMENT:table_end]) != table_crc:
        raise ProgramError("the section table does not match its CRC; the file is damaged")
    for i in range(count):
        at = ALIGNMENT + _ENTRY.size * (i + 1) - 12
        if any(data[at : at + 12]):
            raise ProgramError("reserved bytes of the section table are not zero; the file is damaged")
    return int(count)
