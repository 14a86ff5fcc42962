"""What CONV and GEMM share: records per output channel, a clamp, and an optional table.

Not here: their sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import Rounding
from vla_isa.integer import INT8, IntType
from vla_isa.numerics import MAX_SHIFT, apply_table, requantize, wrap32
from vlac.ir.channel_maps import padded_map
from vlac.ir.operation import Op, Tensor
from vlac.ir.records import Requant

__all__ = ["check_requant", "check_table", "chosen_map", "requant_fields", "requantized"]

I64 = NDArray[np.int64]
_INT32 = IntType(32, signed=True)


def requantized(total: I64, requant: Requant) -> I64:
    """Sums [..., O] as int8: `table[clamp(round_shift((wrap32(total) + bias) * mult, shift) + zero)]`."""
    r = requant
    q = requantize(wrap32(total), r.bias, r.mult, r.shift, r.rounding, r.zero_point, r.lo, r.hi)
    return q if r.table is None else apply_table(q, r.table)


def requant_fields(requant: Requant, out: Tensor) -> dict[str, int]:
    """The fields of an instruction that say how it rounds and clamps; int16 has neither zero point nor clamp."""
    if out.planes == 2:
        return {"rounding": requant.rounding}
    return {
        "rounding": requant.rounding,
        "out_zero": requant.zero_point,
        "lo": requant.lo,
        "hi": requant.hi,
    }


def check_requant(op: Op, requant: Requant) -> None:
    """Refuse records that are not one for each output channel, and bounds that are no int8.

    A bias may be anything until it is packed: the user hears of one that is too large then.

    Raises:
        GraphError: names the operation.
    """
    r, c = requant, op.output.c
    op.require({len(r.bias), len(r.mult), len(r.shift)} == {c}, f"it needs records of {c} channels")
    op.require(bool(((r.shift >= 0) & (r.shift <= MAX_SHIFT)).all()), f"a shift is not in 0..{MAX_SHIFT}")
    stored = op.output.stored
    op.require(stored.holds([r.zero_point, r.lo, r.hi]), f"zero point or clamp is no {stored.name}")
    op.require(r.rounding in set(Rounding), f"rounding {r.rounding} does not exist")
    check_table(op, r.table)


def check_table(op: Op, table: NDArray[np.int8] | None) -> None:
    """Refuse a table that has not one int8 for each int8.

    Raises:
        GraphError: names the operation.
    """
    right = table is None or (table.shape == (INT8.count,) and table.dtype == INT8.dtype)
    op.require(right, f"its table is not int8 [{INT8.count}]")


def chosen_map(op: Op, block: int) -> I64:
    """The channel map for an output whose channels may lie in any order: what a reader wants, or plain order."""
    wishes = (reader.preferred(op.output) for reader in op.output.consumers)
    return next((wish for wish in wishes if wish is not None), padded_map(op.output.c, block))
