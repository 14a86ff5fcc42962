"""The framing of TFRecords: length, its checksum, payload, its checksum; little-endian, checksums masked CRC32C.

Files are from strangers: no length is believed beyond the end of its file. Not here: what is in a payload (`frame.py`).
Source: tensorflow/core/lib/io/record_writer.h; RFC 3720 (CRC32C).
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vla_datasets.errors import CollectError, DatasetError
from vla_isa.files import whole_file

__all__ = ["MOST_BYTES", "Record", "masked_crc", "read_payload", "scan", "write_records"]

MOST_BYTES = 2**25  # of a payload: ten times a frame of Waymo's. Unpacked messages may take 28 times their bytes
_HEAD, _CRC = struct.Struct("<QI"), struct.Struct("<I")


@dataclass(frozen=True)
class Record:
    """Where a payload is: `length` bytes from byte `offset` of a file."""

    path: Path
    offset: int
    length: int

    @property
    def where(self) -> str:
        """The beginning of messages about it."""
        return f"{self.path}: record at byte {self.offset - _HEAD.size}"


def masked_crc(data: bytes) -> int:
    """The checksum as it is stored: turned right by 15 bits, and a number added.

    Raises:
        CollectError: google-crc32c is not installed.
    """
    try:
        import google_crc32c
    except ModuleNotFoundError as error:
        raise CollectError(
            "TFRecords need the package 'google-crc32c', which is not installed; pip install 'vla-toolchain[waymo]'"
        ) from error
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def scan(path: Path) -> Iterator[Record]:
    """Where each payload of a file is; payloads are stepped over.

    Raises:
        DatasetError: it is no file of records, cut off, or a length is damaged; says at which byte.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise DatasetError(f"{path} is no file.")
        with path.open("rb") as file:
            start = 0
            while start < about.st_size:
                file.seek(start)
                record = _record(path, start, file.read(_HEAD.size), about.st_size)
                yield record
                start = record.offset + record.length + _CRC.size
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}. Get the file again.") from error


def _record(path: Path, start: int, head: bytes, size: int) -> Record:
    where = f"{path}: record at byte {start}"
    if len(head) < _HEAD.size:
        raise DatasetError(f"{where} is cut off: {len(head)} bytes of its head of {_HEAD.size}. Get the file again.")
    length, crc = _HEAD.unpack(head)
    if masked_crc(head[:8]) != crc:
        raise DatasetError(f"{where}: the checksum of its length does not fit: no TFRecord, or damaged.")
    if length > MOST_BYTES:
        raise DatasetError(f"{where} has {length:,} bytes; at most {MOST_BYTES:,} are read of a frame.")
    record = Record(path, start + _HEAD.size, length)
    if record.offset + length + _CRC.size > size:
        left = size - record.offset
        raise DatasetError(f"{where} is cut off: {left:,} bytes of {length + _CRC.size:,}. Get the file again.")
    return record


def read_payload(record: Record) -> bytes:
    """The bytes of a record.

    Raises:
        DatasetError: the file has become shorter, or they are damaged.
    """
    try:
        with record.path.open("rb") as file:
            file.seek(record.offset)
            found = file.read(record.length + _CRC.size)
    except OSError as error:
        raise DatasetError(f"{record.where} cannot be read: {error.strerror or error}.") from error
    if len(found) < record.length + _CRC.size:
        raise DatasetError(f"{record.where} is not there any more: the file is shorter than it was.")
    payload = found[: record.length]
    if (masked_crc(payload),) != _CRC.unpack(found[record.length :]):
        raise DatasetError(f"{record.where}: its checksum does not fit: it is damaged. Get the file again.")
    return payload


def write_records(path: Path, payloads: Iterable[bytes]) -> int:
    """Write a file of payloads, whole or not at all; how many there were.

    Raises:
        DatasetError: a payload is larger than what is read.
        OutputError: the file cannot be written.
    """
    count = 0
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for payload in payloads:
            if len(payload) > MOST_BYTES:
                raise DatasetError(f"{path}: record {count} would have {len(payload):,} bytes; at most {MOST_BYTES:,}.")
            length = struct.pack("<Q", len(payload))
            file.write(length + _CRC.pack(masked_crc(length)) + payload + _CRC.pack(masked_crc(payload)))
            count += 1
    return count
