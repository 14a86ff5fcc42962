"""Fields and rules that several instructions have: header, regions, matrices, requantization, table, index.

Not an instruction. Not here: what several of them mean the same way (`shared_meaning.py`).
"""

from __future__ import annotations

from vla_isa.fields import Field, Rule

__all__ = ["PLACE_FIELDS", "REGION_FIELDS", "header", "index", "matrix", "region", "requantize", "ring_rules", "table"]


def header() -> list[Field]:
    """What every packet starts with."""
    return [
        Field("opcode", 8, "the instruction"),
        Field("wait", 16, "take one from each of these semaphores, all in one step, before starting"),
        Field("signal", 16, "add one to each of these semaphores when the last byte is written"),
    ]


def region(p: str, what: str, *, size: bool, blocks: bool = False) -> list[Field]:
    """A tensor region in the activation scratchpad: base, strides, ring and optionally its size."""
    out = [
        Field(f"{p}_base", 20, f"activation word of {what}: row slot 0, block 0, pixel 0", below="act_words"),
        Field(f"{p}_row_stride", 20, f"words between rows of {what}"),
        Field(f"{p}_pitch", 14, f"words between channel blocks of a row of {what}"),
        Field(f"{p}_ring", 11, f"rows the region of {what} holds", minimum=1),
        Field(f"{p}_slot", 11, f"ring slot of row 0 of {what}"),
    ]
    if size:
        out += [
            Field(f"{p}_h", 11, f"rows of {what}", minimum=1),
            Field(f"{p}_w", 14, f"pixels in a row of {what}", minimum=1),
        ]
    if blocks:
        out.append(Field(f"{p}_blocks", 10, f"channel blocks of {what}", minimum=1))
    return out


def matrix(
    p: str,
    what: str,
    *,
    kinds: bool = False,
    batch: bool = False,
    wide: bool = True,
) -> list[Field]:
    """A matrix operand in the activation scratchpad: `[h][C/B][bytes][m][B]`, an int16 as two planes, low byte first.

    Args:
        p, what: the prefix of its fields, and what they say of it.
        kinds: whether it may be left out, or one pixel for all.
        batch: whether it steps from batch to batch.
        wide: whether int16 is a choice.
    """
    out = []
    if kinds:
        doc = f"what {what} is: not there; as large as the output; one pixel for all pixels"
        out.append(Field(f"{p}_kind", 2, doc, enum=("none", "tensor", "row"), code="OperandKind"))
    out += [
        Field(f"{p}_base", 20, f"activation word of {what}: row 0, block 0, pixel 0", below="act_words"),
        Field(f"{p}_row_stride", 20, f"words between rows of {what}"),
        Field(f"{p}_pitch", 14, f"words between byte planes of {what}, and so between its channel blocks"),
    ]
    if batch:
        out.append(Field(f"{p}_batch_stride", 20, f"words between batches of {what}"))
    if wide:
        enum = ("int8", "int16")
        out.append(Field(f"{p}_bytes", 1, f"element of {what}", enum=enum, code="Element"))
    return out


# what says where the words of a region lie: two regions equal in these are one
REGION_FIELDS = tuple(f.name.removeprefix("x_") for f in region("x", "", size=False))
# and of matrices too, where a region and a matrix have them
PLACE_FIELDS = (*REGION_FIELDS, "batch_stride", "bytes")


def ring_rules(p: str, rows: str) -> list[Rule]:
    """The rows of a region fit its ring."""
    return [
        Rule(f"{p}_slot < {p}_ring", f"the slot of row 0 lies in the ring of `{p}`"),
        Rule(f"{rows} <= {p}_ring", f"all rows of `{p}` are in its ring at once"),
    ]


def requantize() -> list[Field]:
    """How results become int8."""
    roundings = ("nearest_even", "half_up", "floor")
    return [
        Field("rounding", 2, "how the shift rounds, see numerics.round_shift", enum=roundings, code="Rounding"),
        Field("out_zero", 8, "zero point of the output", signed=True),
        Field("lo", 8, "lower clamp, applied first", signed=True),
        Field("hi", 8, "upper clamp", signed=True),
    ]


def table() -> list[Field]:
    """The optional table over the results."""
    return [
        Field("table_enable", 1, "replace each result q by byte q + 128 of a 256-byte table"),
        Field("table_base", 16, "parameter word where the table starts", below="param_words"),
    ]


def index(bases: str) -> list[Field]:
    """The optional index: fetch adds a multiple of a register to `bases` (in words for messages)."""
    return [
        Field("index_enable", 1, f"add index_register * index_stride to {bases}, modulo 2^32"),
        Field("index_register", 2, "which index register"),
        Field("index_count", 16, "the register must be below, or the machine stops with INDEX_RANGE"),
        Field("index_stride", 32, "step, in words or lines of what it is added to"),
    ]
