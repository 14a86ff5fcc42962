"""Bytes of the framed TCP protocol, version 1; all numbers are little-endian.

    greeting   "VLAT", u16 version, u16 n, n bytes: what each side sends first; the client's n bytes are its key
    frame      u32 n, u8 kind, n bytes: everything after it

A greeting looks the same in every version, so that either side can say what it speaks. After the greetings the server
sends its metadata, then the client a request at a time and the server a reply to each:

    MESSAGE    msgpack, as over the websocket (`messages.py`): a request, a reply, the metadata
    REFUSAL    UTF-8 text: what was wrong with the request; the next one is answered
    END        u16 code as in a websocket's close frame (RFC 6455, section 7.4.1), UTF-8 text: why the server closes

Not here: who sends them (`tcp.py`, `client.py`).
"""

from __future__ import annotations

import struct

__all__ = [
    "END",
    "FRAME_HEAD",
    "GREETING_HEAD",
    "MAGIC",
    "MESSAGE",
    "MOST_KEY_BYTES",
    "REFUSAL",
    "VERSION",
    "end_of",
    "frame",
    "greeting",
    "pack_end",
]

MAGIC, VERSION = b"VLAT", 1
MESSAGE, REFUSAL, END = 0, 1, 2
MOST_KEY_BYTES = 1024
GREETING_HEAD = struct.Struct("<4sHH")  # magic, version, bytes that follow
FRAME_HEAD = struct.Struct("<IB")  # bytes that follow, kind
_CODE = struct.Struct("<H")


def greeting(rest: bytes = b"") -> bytes:
    """What a side sends first."""
    return GREETING_HEAD.pack(MAGIC, VERSION, len(rest)) + rest


def frame(kind: int, content: bytes) -> bytes:
    """A whole frame."""
    return FRAME_HEAD.pack(len(content), kind) + content


def pack_end(code: int, text: str) -> bytes:
    """The frame with which the server closes."""
    return frame(END, _CODE.pack(code) + text.encode())


def end_of(content: bytes) -> tuple[int, str]:
    """Code and text of an END; 0 where there is no code."""
    if len(content) < _CODE.size:
        return 0, ""
    return _CODE.unpack_from(content)[0], content[_CODE.size :].decode(errors="replace")
