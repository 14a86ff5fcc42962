"""An instruction of the table, and a packet: an instruction with a value for every field.

Not here: the instructions themselves (`instructions/`) and the bytes of a packet (`encoding.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vla_isa.errors import ConfigError, EncodingError
from vla_isa.fields import FIELD_NAME, PACKET_BITS, Field, Rule

__all__ = ["FETCH", "QUEUES", "Instruction", "Packet", "check_table"]

QUEUES = ("wload", "load", "mac", "vec", "store")
FETCH = "fetch"  # what JUMP and HALT run in instead of a queue


@dataclass(frozen=True)
class Instruction:
    """One opcode: its queue, its fields in packet order, its rules, and its meaning in a sentence.

    `queue` is a name of `QUEUES`, or `FETCH`, or the name of the field whose value decides: then `queues` has
    the queue of each value.
    `implemented` is False for opcodes whose fields are laid out but which no machine executes yet;
    dispatching one is ILLEGAL_OPCODE.
    """

    name: str
    opcode: int
    queue: str
    summary: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    queues: tuple[str, ...] = ()
    implemented: bool = True
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)
    value_fields: tuple[Field, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields by name; those that carry a value are not the opcode and not reserved."""
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})
        values = tuple(f for f in self.fields if f.name != "opcode" and not f.reserved)
        object.__setattr__(self, "value_fields", values)

    def queue_of(self, values: Mapping[str, int]) -> str:
        """The queue in which a packet with these values runs."""
        return self.queues[values[self.queue]] if self.queues else self.queue

    def packet(self, **values: int) -> Packet:
        """A packet; fields not given are 0, or their minimum where 0 is not legal.

        Raises:
            EncodingError: an unknown field, or a value that its width cannot hold.
        """
        for key in values:
            if key not in self.by_name or key == "opcode" or self.by_name[key].reserved:
                raise EncodingError(f"{self.name} has no field '{key}'")
        full = {}
        for f in self.value_fields:
            value = int(values.get(f.name, max(f.legal_min, 0)))
            if not f.lowest <= value <= f.highest:
                raise EncodingError(
                    f"{self.name}.{f.name}: {value} does not fit; the field holds {f.lowest}..{f.highest}"
                )
            full[f.name] = value
        return Packet(self, full)


@dataclass(frozen=True)
class Packet:
    """An instruction with a value for every field (opcode and reserved bits apart)."""

    instruction: Instruction
    values: Mapping[str, int]

    def __getitem__(self, field: str) -> int:
        return self.values[field]

    @property
    def name(self) -> str:
        """The instruction's name."""
        return self.instruction.name

    @property
    def queue(self) -> str:
        """The queue it runs in: a name of `QUEUES`, or `FETCH`."""
        return self.instruction.queue_of(self.values)


def check_table(table: Iterable[Instruction]) -> None:
    """Refuse an inconsistent table.

    Raises:
        ConfigError: overlapping or missing bits, duplicate names or opcodes, limits outside a field's
            width, an unknown queue, or a rule that names an unknown or signed field.
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
        _check_queues(ins)
        for rule in ins.rules:
            for name in rule.names:
                f = ins.by_name.get(name)
                if f is None or f.signed:
                    raise ConfigError(
                        f"{ins.name}: rule '{rule.expression}' reads '{name}', which is not an unsigned field of it"
                    )


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
