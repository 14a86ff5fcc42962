"""VEC: functions of one or two tensors element by element, then a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vla_isa.numerics import ROUND_NEAREST_EVEN
from vlac.ir.operation import Op, Tensor
from vlac.ir.records import UNIT

__all__ = ["VecOp"]


@dataclass(eq=False)
class VecOp(Op):
    """Elementwise `round_shift(f(a, b), shift) + zero`, clamped, then the optional table.

    One input and `function` "add" with mult 2^23, shift 23 and the input's zero point is the identity,
    in front of a table or as a copy. `zero_point` is that of the result in front of the table.
    """

    function: str
    a_mult: int
    b_mult: int
    shift: int
    zero_point: int
    lo: int = INT8.lo
    hi: int = INT8.hi
    table: NDArray[np.int8] | None = None
    rounding: int = ROUND_NEAREST_EVEN

    @classmethod
    def identity(
        cls, node: str, op_type: str, x: Tensor, output: Tensor, table: NDArray[np.int8] | None = None
    ) -> VecOp:
        """A copy of `x`, or its values through a table."""
        return cls(node, op_type, [x], output, "add", UNIT[0], 0, UNIT[1], x.zero_point, table=table)

    def make_table(self, table: NDArray[np.int8], zero_point: int) -> None:
        """Become the identity of the input, of this zero point, in front of a table."""
        self.function, (self.a_mult, self.shift), self.b_mult = "add", UNIT, 0
        self.zero_point, self.lo, self.hi, self.table = zero_point, INT8.lo, INT8.hi, table
