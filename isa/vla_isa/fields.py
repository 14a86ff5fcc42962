"""What an instruction table is made of: fields of a 512-bit packet, legality rules, self-checks.

A field's limits live with it; the legality checks of Python and Verilog are generated from them.
Not here: the table itself (`instructions.py`) and packing of values (`encoding.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from types import CodeType

from vla_isa.errors import ConfigError

__all__ = ["PACKET_BITS", "PACKET_BYTES", "Field", "Instruction", "Rule", "check_table", "pack_fields"]

PACKET_BITS = 512
PACKET_BYTES = PACKET_BITS // 8

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Field:
    """One field of a packet.

    `minimum`/`maximum` bound the legal values (None: what the width allows). `below` names a parameter
    of the hardware config that the value must be less than, for example an address below `act_words`.
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
    reserved: bool = False
    lsb: int = -1

    @property
    def lowest(self) -> int:
        """The smallest value the width can hold."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The largest value the width can hold."""
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def legal_min(self) -> int:
        """The smallest legal value."""
        return self.lowest if self.minimum is None else self.minimum

    @property
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
        return tuple(dict.fromkeys(_NAME.findall(self.expression)))

    def holds(self, values: dict[str, int]) -> bool:
        """Evaluate the rule on decoded field values."""
        return bool(eval(_compiled(self.expression), {"__builtins__": {}}, dict(values)))  # our own table


@cache
def _compiled(expression: str) -> CodeType:
    """A rule's expression as Python's."""
    return compile(expression.replace("&&", " and ").replace("||", " or "), "<rule>", "eval")


@dataclass(frozen=True)
class Instruction:
    """One opcode: its queue, its fields in packet order, its rules, and its meaning in a sentence.

    `queue` is a name of `instructions.QUEUES`, or "fetch", or "move" when the field `move` decides.
    `implemented` is False for opcodes whose fields are laid out but which no machine executes yet;
    dispatching one is ILLEGAL_OPCODE.
    """

    name: str
    opcode: int
    queue: str
    summary: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    implemented: bool = True
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields by name."""
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})


def pack_fields(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Give each field its position, in order from bit 0, and fill the packet with one reserved field."""
    packed, lsb = [], 0
    for f in fields:
        packed.append(Field(**{**f.__dict__, "lsb": lsb}))
        lsb += f.width
    if lsb < PACKET_BITS:
        packed.append(Field("reserved", PACKET_BITS - lsb, "must be zero", reserved=True, lsb=lsb))
    return tuple(packed)


def check_table(table: Iterable[Instruction]) -> None:
    """Refuse an inconsistent table.

    Raises:
        ConfigError: overlapping or missing bits, duplicate names or opcodes, limits outside a field's
            width, or a rule that names an unknown or signed field.
    """
    opcodes: dict[int, str] = {}
    names: set[str] = set()
    for ins in table:
        if ins.name in names:
            raise ConfigError(f"instruction '{ins.name}' is defined twice")
        names.add(ins.name)
        if not 0 <= ins.opcode <= 255:
            raise ConfigError(f"{ins.name}: opcode {ins.opcode} does not fit in byte 0")
        if ins.opcode in opcodes:
            raise ConfigError(f"{ins.name} and {opcodes[ins.opcode]} share opcode 0x{ins.opcode:02x}")
        opcodes[ins.opcode] = ins.name
        _check_fields(ins)
        for rule in ins.rules:
            for name in rule.names:
                f = ins.by_name.get(name)
                if f is None or f.signed:
                    raise ConfigError(
                        f"{ins.name}: rule '{rule.expression}' reads '{name}', which is not an unsigned field of it"
                    )


def _check_fields(ins: Instruction) -> None:
    if len(ins.by_name) != len(ins.fields):
        raise ConfigError(f"{ins.name}: two fields have the same name")
    if not ins.fields or (ins.fields[0].name, ins.fields[0].lsb, ins.fields[0].width) != ("opcode", 0, 8):
        raise ConfigError(f"{ins.name}: the first field must be the 8-bit opcode at bit 0")
    used = 0
    for f in ins.fields:
        where = f"{ins.name}.{f.name}"
        if not _NAME.fullmatch(f.name):
            raise ConfigError(f"{where}: not a lower-case field name")
        if f.width < 1 or f.lsb < 0 or f.lsb + f.width > PACKET_BITS:
            raise ConfigError(f"{where}: bits {f.lsb + f.width - 1}:{f.lsb} lie outside the packet")
        mask = ((1 << f.width) - 1) << f.lsb
        if used & mask:
            raise ConfigError(f"{where}: overlaps another field")
        used |= mask
        if not f.lowest <= f.legal_min <= f.legal_max <= f.highest:
            raise ConfigError(f"{where}: limits {f.legal_min}..{f.legal_max} do not fit {f.width} bits")
    if used != (1 << PACKET_BITS) - 1:
        raise ConfigError(f"{ins.name}: some bits belong to no field; give them a reserved field")
