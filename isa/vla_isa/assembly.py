"""Assembly text: one packet per line, fields by name, fields at their default left out.

    CONV in_base=0 in_ring=8 in_h=8 kernel_h=3 rounding=half_up wait=0,3 signal=1   # a comment

Semaphore masks are lists of numbers, enumerations are names, all else is decimal or 0x hexadecimal.
`assemble(disassemble(packets))` gives the packets back exactly. Not here: legality (`encoding.illegal`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vla_isa.encoding import make_packet
from vla_isa.errors import EncodingError, did_you_mean
from vla_isa.fields import Field
from vla_isa.generated.codes import SEMAPHORES
from vla_isa.instructions import BY_NAME
from vla_isa.ordering import bits
from vla_isa.packet import Packet

__all__ = ["assemble", "disassemble", "format_packet"]

_MASKS = ("wait", "signal")
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})")


def format_packet(packet: Packet) -> str:
    """One packet as a line of assembly, without a line end."""
    default = make_packet(packet.name).values
    words = [packet.name]
    words += [
        f"{f.name}={_format(f, packet.values[f.name])}"
        for f in packet.instruction.value_fields
        if packet.values[f.name] != default[f.name] and f.name not in _MASKS
    ]
    words += [f"{name}={_format_mask(packet.values[name])}" for name in _MASKS if packet.values[name]]
    return " ".join(words)


def disassemble(packets: Iterable[Packet]) -> str:
    """Packets as text, one per line."""
    return "".join(format_packet(p) + "\n" for p in packets)


def assemble(text: str) -> list[Packet]:
    """The packets of a text; empty lines and what follows `#` are skipped.

    Raises:
        EncodingError: with the line number, what was found and what it may have meant.
    """
    packets = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if words:
            try:
                packets.append(_packet(words))
            except EncodingError as e:
                raise EncodingError(f"line {number}: {e}") from e
    return packets


def _format(f: Field, value: int) -> str:
    return f.enum[value] if 0 <= value < len(f.enum) else str(value)


def _format_mask(mask: int) -> str:
    return ",".join(map(str, bits(mask)))


def _packet(words: list[str]) -> Packet:
    name = words[0].upper()
    if name not in BY_NAME:
        raise EncodingError(f"unknown instruction '{words[0]}'.{did_you_mean(name, BY_NAME)}")
    fields = {f.name: f for f in BY_NAME[name].value_fields}
    values: dict[str, int] = {}
    for word in words[1:]:
        key, equals, text = word.partition("=")
        if not equals or not text:
            raise EncodingError(f"'{word}' is not of the form field=value")
        if key not in fields:
            raise EncodingError(f"{name} has no field '{key}'.{did_you_mean(key, fields)}")
        if key in values:
            raise EncodingError(f"{name}.{key} is given twice")
        values[key] = _mask(key, text) if key in _MASKS else _value(fields[key], text)
    return make_packet(name, **values)


def _mask(key: str, text: str) -> int:
    mask = 0
    for part in text.split(","):
        if not part.isascii() or not part.isdigit() or len(part) > 2 or int(part) >= SEMAPHORES:
            raise EncodingError(
                f"{key}: '{part}' is not a semaphore; they are 0..{SEMAPHORES - 1}, separated by commas"
            )
        if mask >> int(part) & 1:
            raise EncodingError(f"{key}: semaphore {int(part)} is given twice")
        mask |= 1 << int(part)
    return mask


def _value(f: Field, text: str) -> int:
    if text in f.enum:
        return f.enum.index(text)
    if _NUMBER.fullmatch(text):
        return int(text, 16 if "x" in text.lower() else 10)
    if f.enum:
        raise EncodingError(f"{f.name}: '{text}' is none of {', '.join(f.enum)}.{did_you_mean(text, f.enum)}")
    raise EncodingError(f"{f.name}: '{text}' is not a number")
