"""The classes of values that a field of an instruction should have in programs that run, per hardware config.

A class is a range of what is measured: the value, or for `wait` and `signal` the number of semaphores. The
highest value is what a packet can use on a config: the table's limit, or less where `FITS` says why.
Not here: which classes occur (field_coverage.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch

from vla_isa.fields import Field
from vla_isa.generated.codes import SEMAPHORES, TABLE_BYTES
from vla_isa.hardware import HardwareConfig
from vla_isa.numerics import ITEM_BYTES

__all__ = ["FITS", "Fit", "ValueClass", "classes", "highest", "measure"]


@dataclass(frozen=True)
class ValueClass:
    """A name and a range, both ends inside."""

    name: str
    low: int
    high: int

    def holds(self, number: int) -> bool:
        """Whether a measured number is in the range."""
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Fit:
    """Fields (patterns of INSTRUCTION.field) whose highest usable value is less than the table's limit."""

    fields: tuple[str, ...]
    limit: Callable[[HardwareConfig], int]
    text: str
    why: str


FITS = (
    Fit(("*_slot",), lambda hw: 2046, "2046", "a rule of the table: the slot is below the ring, which is at most 2047"),
    Fit(
        (
            "*_row_stride",
            "GEMM.out_batch_stride",
            "GEMM.res_batch_stride",
            "GEMM.in_batch_stride",
            "COPY.*_stride?",
            "GATHER.table_stride",
        ),
        lambda hw: hw.act_words - 1,
        "act_words - 1",
        "two rows, blocks or batches both lie in the scratchpad; steps in HBM can be longer, in larger data spaces",
    ),
    Fit(
        ("GEMM.m", "REDUCE.m"),
        lambda hw: hw.act_words // 2,
        "act_words / 2",
        "input and output both lie in the scratchpad",
    ),
    Fit(
        ("GEMM.k_blocks", "GEMM.n_blocks"),
        lambda hw: hw.weight_words,
        "weight_words",
        "all weights of a packet lie in the weight scratchpad",
    ),
    Fit(
        ("GEMM.weight_batch_stride",),
        lambda hw: hw.weight_words - 1,
        "weight_words - 1",
        "two batches of weights both lie in the weight scratchpad",
    ),
    Fit(
        ("CONV.table_base", "GEMM.table_base", "VEC.table_base", "ROW.table_base"),
        lambda hw: hw.param_words - TABLE_BYTES // hw.param_word_bytes,
        "param_words - words of a table",
        "the whole table lies in the parameter memory",
    ),
    Fit(
        ("*.row_base", "*.reduce_base", "*.index_base", "RECIP.*_base", "SET.base", "GEMM.row_batch_stride"),
        lambda hw: hw.act_words - ITEM_BYTES // hw.act_word_bytes,
        "act_words - words of an item",
        "the whole item lies in the scratchpad",
    ),
    Fit(("GATHER.first",), lambda hw: (1 << 20) - 2, "2^20 - 2", "a rule of the table: a range lies inside it"),
    Fit(
        ("RECIP.n",),
        lambda hw: hw.act_words * hw.act_word_bytes // ITEM_BYTES,
        "items of the scratchpad",
        "all items lie in the scratchpad",
    ),
    Fit(
        ("COPY.n0",), lambda hw: hw.act_words, "act_words", "one run lies in the scratchpad, the largest on-chip memory"
    ),
    Fit(
        ("COPY.src", "COPY.dst", "GATHER.table_base"),
        lambda hw: hw.act_words - 1,
        "act_words - 1",
        "the last word of the scratchpad; lines of HBM can be higher, in larger data spaces",
    ),
)


def measure(field: Field, value: int) -> int:
    """What the classes of a field are ranges of."""
    return value.bit_count() if field.name in ("wait", "signal") else value


def highest(name: str, field: Field, hw: HardwareConfig) -> int:
    """The highest value of a field that a packet of instruction `name` can use."""
    top = field.legal_max if field.below is None else min(field.legal_max, int(getattr(hw, field.below)) - 1)
    for fit in FITS:
        if any(fnmatch(f"{name}.{field.name}", pattern) for pattern in fit.fields):
            top = min(top, fit.limit(hw))
    return top


def classes(name: str, field: Field, hw: HardwareConfig) -> tuple[ValueClass, ...]:
    """The classes of a field of instruction `name`; those that no value can be in are left out."""
    low, top = field.legal_min, highest(name, field, hw)
    if field.name in ("wait", "signal"):
        some = (("none", 0, 0), ("one", 1, 1), ("several", 2, SEMAPHORES), ("all", SEMAPHORES, SEMAPHORES))
    elif field.enum:
        some = tuple((field.enum[i], i, i) for i in range(low, top + 1))
    elif top - low <= 1:
        some = tuple((str(v), v, v) for v in range(low, top + 1))
    elif field.signed:
        some = (("lowest", low, low), ("negative", low + 1, -1), ("zero", 0, 0), ("positive", 1, top - 1))
        some += (("highest", top, top),)
    else:
        half = 1 << (top.bit_length() - 1)  # the lowest value with the highest used bit set
        some = (("lowest", low, low), ("next", low + 1, low + 1), ("middle", low + 2, min(half, top) - 1))
        some += (("top bit", half, top - 1), ("highest", top, top))
    return tuple(c for c in (ValueClass(*s) for s in some) if c.low <= c.high)
