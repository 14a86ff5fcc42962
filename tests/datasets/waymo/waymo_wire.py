"""Records of Waymo's end-to-end set byte by byte, from the descriptions of their formats alone, with nothing of ours.

Protocol buffers: https://protobuf.dev/programming-guides/encoding; CRC32C: RFC 3720, bit by bit.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TABLE = [0] * 256
for n in range(256):
    c = n
    for _ in range(8):
        c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
    TABLE[n] = c


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = TABLE[(value ^ byte) & 255] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


def framed(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + checksum(length) + payload + checksum(payload)


def varint(value: int) -> bytes:
    out = bytearray()
    value %= 2**64
    while value > 127:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def field(number: int, value: Any) -> bytes:
    """int: a varint; float: 4 bytes; text and bytes with their length; an array of float32: packed."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    data = data.astype("<f4").tobytes() if isinstance(data, np.ndarray) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def doubles(number: int, values: Iterable[float]) -> bytes:
    """Repeated, not packed."""
    return b"".join(varint(number << 3 | 1) + struct.pack("<d", value) for value in values)


def jpeg(color: tuple[int, int, int] = (200, 100, 50), size: tuple[int, int] = (16, 8)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, format="JPEG", quality=95, optimize=True)
    return stream.getvalue()


def states(values: np.ndarray, fields: Sequence[int], score: float | None = None) -> bytes:
    """Trajectory states: column i of (n, columns) in field `fields[i]`."""
    packed = b"".join(field(number, column) for number, column in zip(fields, values.T, strict=True))
    return packed + (b"" if score is None else field(8, float(score)))


def past(speed: float = 5.0) -> np.ndarray:
    """(16, 6), straight on at a speed."""
    t = np.arange(-15, 1) / 4
    zeros = np.zeros(16)
    return np.stack([speed * t, zeros, zeros + speed, zeros, zeros, zeros], axis=1).astype(np.float32)


def future(speed: float = 5.0) -> np.ndarray:
    """(20, 2), straight on at a speed."""
    t = np.arange(1, 21) / 4
    return np.stack([speed * t, 0.1 * t], axis=1).astype(np.float32)


PLACE, MOTION = (1, 2), (1, 2, 4, 5, 6, 7)


def frame(
    name: str | bytes = "segment-000",
    images: Iterable[tuple[int, bytes]] = (),
    past_states: bytes | None = None,
    future_states: bytes | None = None,
    intent: int = 1,
    rated: Iterable[bytes] = (),
    calibrations: Iterable[bytes] = (),
) -> bytes:
    """An E2EDFrame; what is None is a good one."""
    context = field(1, name) + b"".join(field(2, calibration) for calibration in calibrations)
    pictures = b"".join(field(4, field(1, camera) + field(2, data)) for camera, data in images)
    return (
        field(1, field(1, context) + field(2, 0) + pictures)
        + field(5, states(future(), PLACE) if future_states is None else future_states)
        + field(6, states(past(), MOTION) if past_states is None else past_states)
        + field(7, intent)
        + b"".join(field(8, trajectory) for trajectory in rated)
    )


def write(path: Path, payloads: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(framed(payload) for payload in payloads))
    return path
