"""Refuse an inconsistent table, before anything is made of it.

Not here: the table (`instructions/`).
"""

from __future__ import annotations

from collections.abc import Iterable

from vla_isa.errors import ConfigError
from vla_isa.fields import FIELD_NAME, PACKET_BITS
from vla_isa.packet import FETCH, QUEUES, Instruction, only_fetched, touches_nothing

__all__ = ["check_table"]


def check_table(table: Iterable[Instruction]) -> None:
    """Refuse an inconsistent table.

    Raises:
        ConfigError: overlapping or missing bits, duplicate names or opcodes, limits outside a field's
            width, an unknown queue, a rule that names an unknown or signed field, an enumeration without a name,
            or an instruction of an engine that does not say what it does.
    """
    table = tuple(table)
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
        _check_queues(ins)
        _check_behaviour(ins)
        for rule in ins.rules:
            for name in rule.names:
                f = ins.by_name.get(name)
                if f is None or f.signed:
                    raise ConfigError(
                        f"{ins.name}: rule '{rule.expression}' reads '{name}', which is not an unsigned field of it"
                    )
    _check_codes(table)


def _check_queues(ins: Instruction) -> None:
    if ins.queues and (ins.queue not in ins.by_name or len(ins.queues) != len(ins.by_name[ins.queue].enum)):
        raise ConfigError(f"{ins.name}: there must be one queue for each value of the field '{ins.queue}'")
    for queue in ins.queues or (ins.queue,):
        if queue not in (*QUEUES, FETCH):
            raise ConfigError(f"{ins.name}: queue '{queue}' does not exist; there are {', '.join((*QUEUES, FETCH))}")


def _check_fields(ins: Instruction) -> None:
    if len(ins.by_name) != len(ins.fields):
        raise ConfigError(f"{ins.name}: two fields have the same name")
    if not ins.fields or (ins.fields[0].name, ins.fields[0].lsb, ins.fields[0].width) != ("opcode", 0, 8):
        raise ConfigError(f"{ins.name}: the first field must be the 8-bit opcode at bit 0")
    used = 0
    for f in ins.fields:
        where = f"{ins.name}.{f.name}"
        if not FIELD_NAME.fullmatch(f.name):
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


def _check_behaviour(ins: Instruction) -> None:
    left_out = [
        name
        for name, missing in (
            ("footprint", ins.footprint is touches_nothing),
            ("cost", ins.cost is only_fetched),
            ("operands", ins.operands is None),
        )
        if missing
    ]
    if left_out and ins.implemented and set(ins.queues or (ins.queue,)) != {FETCH}:
        raise ConfigError(f"{ins.name} runs in an engine; state its {', '.join(left_out)}")


def _check_codes(table: Iterable[Instruction]) -> None:
    """Every enumeration has a name, and no name stands for two."""
    known: dict[str, tuple[str, ...]] = {}
    for ins in table:
        for f in ins.fields:
            if bool(f.enum) != bool(f.code):
                raise ConfigError(f"{ins.name}.{f.name}: an enumeration and its `code` go together")
            if f.enum and known.setdefault(f.code, f.enum) != f.enum:
                raise ConfigError(f"{ins.name}.{f.name}: the name '{f.code}' stands for two enumerations")
