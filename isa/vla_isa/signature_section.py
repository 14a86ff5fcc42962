"""The sections `signature` and `arrays` of a program file: a Signature to bytes and back, read strictly.

Not here: whether the signature makes sense (`check_signature.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vla_isa.check_signature import check_value
from vla_isa.container import ALIGNMENT
from vla_isa.errors import ProgramError
from vla_isa.records import dump_json, from_json, parse_json
from vla_isa.signature import HostOp, ModelOutput, Signature, Value

__all__ = ["ArrayEntry", "dump_signature", "load_signature"]


@dataclass(frozen=True)
class ArrayEntry:
    """A constant: its elements lie in section `arrays` from byte `offset` on, little endian, in C order."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class _Section:
    inputs: list[Value]
    ops: list[HostOp]
    feeds: list[int]
    outputs: list[ModelOutput]
    arrays: list[ArrayEntry]


def dump_signature(signature: Signature) -> tuple[bytes, bytes]:
    """The bytes of both sections."""
    data, entries = bytearray(), []
    for array in signature.arrays:
        data += bytes(-len(data) % ALIGNMENT)
        entries.append(ArrayEntry(str(array.dtype), array.shape, len(data)))
        data += np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    section = _Section(signature.inputs, signature.ops, signature.feeds, signature.outputs, entries)
    return dump_json(section), bytes(data)


def load_signature(sections: Mapping[str, memoryview]) -> Signature | None:
    """The signature of a file, or None where it has none.

    Raises:
        ProgramError: a record that is not as it must be, or an array outside its section.
    """
    data = sections.get("arrays", memoryview(b""))
    if "signature" not in sections:
        if "arrays" in sections:
            raise ProgramError("the file has section 'arrays' without 'signature'; it is damaged")
        return None
    section = from_json(_Section, parse_json(sections["signature"], "signature"), "signature")
    position, arrays = 0, []
    for number, entry in enumerate(section.arrays):
        where = f"array {number} of the signature"
        check_value(where, entry.shape, entry.dtype)
        size = math.prod(entry.shape) * np.dtype(entry.dtype).itemsize
        start = -(-position // ALIGNMENT) * ALIGNMENT
        if entry.offset != start or start + size > len(data) or any(data[position:start]):
            raise ProgramError(f"{where} lies at byte {entry.offset}, outside section 'arrays' or not in order")
        kind = np.dtype(entry.dtype).newbyteorder("<")
        arrays.append(np.frombuffer(data[start : start + size], kind).reshape(entry.shape))
        position = start + size
    if position != len(data):
        raise ProgramError("section 'arrays' holds more than the signature names; the file is damaged")
    return Signature(section.inputs, section.ops, section.feeds, section.outputs, arrays)
