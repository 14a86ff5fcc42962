"""The table checks itself: every kind of bad table is refused, the real one is not."""

from dataclasses import replace

import pytest

from vla_isa.errors import ConfigError
from vla_isa.fields import PACKET_BITS, Field, Rule, pack_fields
from vla_isa.instructions import BY_OPCODE, MOVES, TABLE
from vla_isa.packet import FETCH, QUEUES, Instruction
from vla_isa.table_check import check_table

OPCODE = Field("opcode", 8, "the instruction")


def instruction(*fields: Field, name: str = "GOOD", opcode: int = 1, rules: tuple[Rule, ...] = ()) -> Instruction:
    return Instruction(name, opcode, FETCH, "for tests", pack_fields([OPCODE, *fields]), rules)


def with_field(ins: Instruction, index: int, **changes: object) -> Instruction:
    fields = list(ins.fields)
    fields[index] = replace(fields[index], **changes)
    return replace(ins, fields=tuple(fields))


GOOD = instruction(Field("a", 4, "first"), Field("b", 12, "second", signed=True))
MOVER = replace(instruction(Field("a", 4, "first", enum=("x", "y"), code="Side")), queue="a", queues=(FETCH, FETCH))
OTHER = instruction(Field("c", 4, "first", enum=("x", "z"), code="Side"), name="OTHER", opcode=2)


def test_good_table_passes() -> None:
    check_table([GOOD, instruction(name="OTHER", opcode=2)])
    check_table([MOVER])
    check_table(TABLE)


BAD = {
    "overlap": ([with_field(GOOD, 2, lsb=10)], "overlaps"),
    "gap": ([replace(GOOD, fields=GOOD.fields[:-1])], "belong to no field"),
    "outside": ([with_field(GOOD, 3, width=PACKET_BITS)], "outside the packet"),
    "width": ([with_field(GOOD, 1, width=0)], "outside the packet"),
    "limits": ([with_field(GOOD, 1, maximum=16)], "do not fit 4 bits"),
    "minimum": ([with_field(GOOD, 1, minimum=3, maximum=2)], "do not fit 4 bits"),
    "signed limits": ([with_field(GOOD, 2, minimum=-4096)], "do not fit 12 bits"),
    "enumeration": ([with_field(GOOD, 1, enum=tuple("abcdefghijklmnopq"), code="Letters")], "do not fit 4 bits"),
    "field name": ([with_field(GOOD, 1, name="A")], "not a lower-case field name"),
    "same field": ([with_field(GOOD, 1, name="b")], "same name"),
    "opcode place": ([replace(GOOD, fields=GOOD.fields[1:])], "opcode at bit 0"),
    "opcode twice": ([GOOD, instruction(name="OTHER")], "share opcode"),
    "opcode size": ([instruction(opcode=256)], "does not fit in byte 0"),
    "queue unknown": ([replace(GOOD, queue="a")], "queue 'a'"),
    "queues of no enumeration": ([replace(GOOD, queue="a", queues=(FETCH,))], "one queue for each value of"),
    "queues unknown": ([replace(MOVER, queues=(FETCH, "a"))], "queue 'a'"),
    "engine without behaviour": ([replace(GOOD, queue="mac")], "GOOD runs in an engine; state its footprint, cost, op"),
    "enumeration without a name": ([with_field(GOOD, 1, enum=("x", "y"))], "go together"),
    "name without an enumeration": ([with_field(GOOD, 1, code="Side")], "go together"),
    "name of two enumerations": ([MOVER, OTHER], "'Side' stands for two"),
    "name twice": ([GOOD, instruction(opcode=2)], "defined twice"),
    "rule unknown": ([instruction(rules=(Rule("c < 1", "no c"),))], "reads 'c'"),
    "rule signed": ([instruction(Field("b", 12, "", signed=True), rules=(Rule("b < 1", "sign"),))], "reads 'b'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_table_is_refused(case: str) -> None:
    table, reason = BAD[case]
    with pytest.raises(ConfigError, match=reason):
        check_table(table)


def test_fixed_contract() -> None:
    """Opcodes and queues of the architecture, which no table change may move."""
    opcodes = {
        "CONV": 1,
        "GEMM": 2,
        "COPY": 3,
        "POOL": 4,
        "VEC": 5,
        "ROW": 11,
        "REDUCE": 6,
        "RECIP": 7,
        "GATHER": 8,
        "SET": 9,
        "LOOP": 10,
        "JUMP": 15,
        "HALT": 255,
    }
    assert {i.name: i.opcode for i in TABLE} == opcodes
    assert BY_OPCODE[255].name == "HALT"
    assert dict(zip(MOVES, BY_OPCODE[3].queues, strict=True)) == {
        "data_to_act": "load",
        "act_to_act": "load",
        "fill_act": "load",
        "data_to_param": "wload",
        "weight_to_weight": "wload",
        "act_to_data": "store",
        "act_to_weight": "wload",
        "data_to_weight": "wload",
    }
    assert dict(zip(BY_OPCODE[8].by_name["move"].enum, BY_OPCODE[8].queues, strict=True)) == {
        "gather_act": "load",
        "scatter_act": "load",
        "gather_data": "load",
        "scatter_data": "store",
    }
    assert [i.name for i in TABLE if i.queues] == ["COPY", "GATHER"]
    assert all(i.queue == "move" for i in TABLE if i.queues)
    assert all(i.queue in (*QUEUES, FETCH) for i in TABLE if not i.queues)
    for ins in TABLE:
        assert [(f.name, f.lsb) for f in ins.fields[:3]] == [("opcode", 0), ("wait", 8), ("signal", 24)]
