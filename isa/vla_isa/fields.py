"""What an instruction is made of: fields of a 512-bit packet and legality rules.

A field's limits live with it; the legality checks of Python and Verilog are generated from them.
Not here: the instruction itself (`packet.py`) and packing of values (`encoding.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import CodeType

__all__ = ["FIELD_NAME", "PACKET_BITS", "PACKET_BYTES", "Field", "Rule", "pack_fields"]

PACKET_BITS = 512
PACKET_BYTES = PACKET_BITS // 8

FIELD_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Field:
    """One field of a packet.

    `minimum`/`maximum` bound the legal values (None: what the width allows). `below` names a parameter
    of the hardware config that the value must be less than, for example an address below `act_words`.
    `enum` names the values 0, 1, ..., and `code` the enumeration of them in `generated/codes.py`.
    `reserved` fields must be zero. `lsb` is assigned by `pack_fields`.
    """

    name: str
    width: int
    doc: str
    signed: bool = False
    minimum: int | None = None
    maximum: int | None = None
    below: str | None = None
    enum: tuple[str, ...] = ()
    code: str = ""
    reserved: bool = False
    lsb: int = -1

    @cached_property
    def lowest(self) -> int:
        """The smallest value the width can hold."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @cached_property
    def highest(self) -> int:
        """The largest value the width can hold."""
        return (1 << (self.width - int(self.signed))) - 1

    @cached_property
    def legal_min(self) -> int:
        """The smallest legal value."""
        return self.lowest if self.minimum is None else self.minimum

    @cached_property
    def legal_max(self) -> int:
        """The largest legal value, `below` apart."""
        if self.enum and self.maximum is None:
            return len(self.enum) - 1
        return self.highest if self.maximum is None else self.maximum


@dataclass(frozen=True)
class Rule:
    """A relation between fields of one packet, written so that Python and Verilog read it the same.

    `expression` uses field names, integer constants, `+ - * < <= == != && || ( )`; all values are
    non-negative, so widths and signs cannot differ between the two languages.
    """

    expression: str
    doc: str

    @property
    def names(self) -> tuple[str, ...]:
        """Field names the expression reads."""
        return tuple(dict.fromkeys(FIELD_NAME.findall(self.expression)))

    def holds(self, values: dict[str, int]) -> bool:
        """Evaluate the rule on decoded field values."""
        return bool(eval(_compiled(self.expression), {"__builtins__": {}}, dict(values)))  # our own table


@cache
def _compiled(expression: str) -> CodeType:
    """A rule's expression as Python's."""
    return compile(expression.replace("&&", " and ").replace("||", " or "), "<rule>", "eval")


def pack_fields(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Give each field its position, in order from bit 0, and fill the packet with one reserved field."""
    packed, lsb = [], 0
    for f in fields:
        packed.append(replace(f, lsb=lsb))
        lsb += f.width
    if lsb < PACKET_BITS:
        packed.append(Field("reserved", PACKET_BITS - lsb, "must be zero", reserved=True, lsb=lsb))
    return tuple(packed)
