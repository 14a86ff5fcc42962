"""The framing of TFRecords: equal to an encoder of the tests' own; what is damaged is named by file and byte."""

from __future__ import annotations

import resource
import struct
import sys
from pathlib import Path

import pytest
import waymo_wire as wire

from vla_datasets.errors import CollectError, DatasetError
from vla_datasets.waymo.tfrecord import MOST_BYTES, Record, masked_crc, read_payload, scan, write_records
from vla_isa.errors import OutputError

PAYLOADS = [b"first", b"", b"x" * 100]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return wire.write(tmp_path / "a.tfrecord", PAYLOADS)


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
    ids=["zeros", "ones", "up", "down"],
)
def test_checksums(data: bytes, crc: int) -> None:
    turned = (crc >> 15) | ((crc & 0x7FFF) << 17)
    assert masked_crc(data) == (turned + 0xA282EAD8) % 2**32
    assert struct.pack("<I", masked_crc(data)) == wire.checksum(data)


def test_every_payload(path: Path) -> None:
    records = list(scan(path))
    assert [(r.offset, r.length) for r in records] == [(12, 5), (33, 0), (49, 100)]
    assert [read_payload(record) for record in reversed(records)] == PAYLOADS[::-1]


def test_what_is_written(path: Path, tmp_path: Path) -> None:
    assert write_records(tmp_path / "b.tfrecord", iter(PAYLOADS)) == 3
    assert (tmp_path / "b.tfrecord").read_bytes() == path.read_bytes()


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert list(scan(wire.write(tmp_path / "a.tfrecord", []))) == []


def read_all(path: Path) -> list[bytes]:
    return [read_payload(record) for record in scan(path)]


def test_a_bit_that_is_wrong_is_seen_wherever_it_is(path: Path) -> None:
    data = path.read_bytes()
    starts = (0, 21, 37)
    for place in [*range(60), len(data) - 5, len(data) - 1]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        start = max(s for s in starts if s <= place)
        with pytest.raises(DatasetError, match=rf"{path}: record at byte {start}: .*checksum"):
            read_all(path)


def test_a_file_that_is_cut_off(path: Path) -> None:
    data = path.read_bytes()
    starts = (0, 21, 37)
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        if length in starts:
            assert len(read_all(path)) == starts.index(length)
            continue
        with pytest.raises(
            DatasetError, match=rf"{path}: record at byte {max(s for s in starts if s < length)} is cut"
        ):
            read_all(path)


@pytest.mark.parametrize("length", [MOST_BYTES + 1, 2**40, 2**63, 2**64 - 1])
def test_a_length_that_is_a_lie_takes_no_memory(path: Path, length: int) -> None:
    head = struct.pack("<Q", length)
    path.write_bytes(head + wire.checksum(head) + b"little")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatasetError, match=f"record at byte 0 has {length:,} bytes; at most 33,554,432"):
        read_all(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # kB


def test_more_than_is_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="record 1 would have 33,554,433 bytes"):
        write_records(tmp_path / "a.tfrecord", [b"", bytes(MOST_BYTES + 1)])
    with pytest.raises(OutputError, match="does not exist"):
        write_records(tmp_path / "no" / "a.tfrecord", [])
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_none(tmp_path: Path, path: Path) -> None:
    with pytest.raises(DatasetError, match="is no file"):
        list(scan(tmp_path))
    with pytest.raises(DatasetError, match=r"cannot be read: No such file"):
        list(scan(tmp_path / "b.tfrecord"))
    with pytest.raises(DatasetError, match="the file is shorter than it was"):
        read_payload(Record(path, 2000, 5))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_payload(Record(tmp_path / "gone", 12, 5))


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(CollectError, match=r"pip install 'vla-toolchain\[waymo\]'"):
        read_all(path)
