"""Softmax of one head's logits, and the mix of the values by it, in the form that the attention was given.

    rounded, dithered   exponents (ROW, with sums) -> records (RECIP) -> mix (GEMM)
    wide                logits less maxima (ROW) -> int16 exponents (ROW, with sums) -> their high bytes (ROW), records
                        (two RECIP) -> mixes of high and low bytes (two GEMM, int16) -> sum (ROW)

Shares are never made: the mix is divided by the row's sum. Of an int16 exponent the high byte is rounded half up, so
that its low byte as it lies in memory, read as int8, is the rest.
Not here: logits and masks (`attention.py`), which form (`quantize/exponents.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vla_isa.errors import EncodingError
from vla_isa.generated.codes import RecipFunction, RowFunction, RowMode, RowTable
from vla_isa.integer import INT8, INT16
from vla_isa.numerics import dithered_exponents, exponents, scale_to_multiplier, wide_exponents
from vlac.device.product import MixOp
from vlac.device.recip import RecipOp
from vlac.device.row import RowOp
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor
from vlac.ir.records import UNIT, Requant
from vlac.model.exponent_form import ExponentForm

__all__ = ["Softmax"]

_KIND = "Attention"
_FINER = 128  # the unit of an int16 mix is so much finer than that of the int8 result
_HIGH = 256  # of an exponent's high byte
_HALF_UP = ((1 << 16) + 1, 24)  # a little more than 1/256: a half is rounded up by any rounding


@dataclass(frozen=True)
class Softmax:
    """The softmax of one head.

    Attributes:
        label: of the node.
        tensor: makes an intermediate tensor of a name, a shape and a scale.
        logits: int16 [1, M, S], with maxima where they are not given.
        values: [1, N, S] in weights.
        out: int8 [1, M, N].
        maxima: of the logits, items.
    """

    graph: Graph
    label: str
    tensor: Callable[..., Tensor]
    logits: Tensor
    values: Tensor
    out: Tensor
    maxima: Tensor | None = None

    def add(self, form: ExponentForm) -> list[Op]:
        """Add what works on rows, and return the rest for later: products, and what is behind them."""
        return self._wide() if form is ExponentForm.WIDE else self._narrow(form)

    def _narrow(self, form: ExponentForm) -> list[Op]:
        dithered = form is ExponentForm.DITHERED
        a_mult, shift, table = (dithered_exponents if dithered else exponents)(self.logits.scale)
        e = self.tensor("exponents", self.logits.shape, 1 / INT8.hi, with_items=True)
        row = self._less(e, (a_mult, shift))
        row.table_mode, row.table = RowTable.DITHER if dithered else RowTable.OUT8, table
        self.graph.insert(row)
        return [MixOp(self.label, _KIND, [e, self.values, self._records("records", e, 1)], self.out)]

    def _wide(self) -> list[Op]:
        shape = self.logits.shape
        a_mult, shift, steps = wide_exponents(self.logits.scale)
        unit = self.logits.scale * 2.0**shift / a_mult
        rest = self.tensor("less", shape, unit, type=INT16)
        self.graph.insert(self._less(rest, (a_mult, shift)))
        e = self.tensor("exponents", shape, 1 / INT16.hi, with_items=True, type=INT16)
        row = self._row(rest, e, UNIT)
        row.table_mode, row.table = RowTable.IN16, steps
        self.graph.insert(row)
        high = self.tensor("high", shape, _HIGH / INT16.hi)
        self.graph.insert(self._row(e, high, _HALF_UP))
        mixes: list[Op] = []
        for name, source, factor in (("high", high, _HIGH), ("low", e, 1)):
            records = self._records(f"records:{name}", e, factor * _FINER)
            mix = self.tensor(f"mix:{name}", self.out.shape, self.out.scale / _FINER, type=INT16)
            mixes.append(MixOp(self.label, _KIND, [source, self.values, records], mix, low_bytes=source is e))
        total = self._row(mixes[0].output, self.out, (UNIT[0], UNIT[1] + _FINER.bit_length() - 1))
        total.inputs, total.roles, total.c_mult = [m.output for m in mixes], ("a", "c"), total.a_mult
        return [*mixes, total]

    def _less(self, out: Tensor, scale: tuple[int, int]) -> RowOp:
        """The logits less their maxima."""
        row = self._row(self.logits, out, scale, RowMode.LESS)
        if self.maxima is not None:
            row.inputs, row.roles = [*row.inputs, self.maxima], ("a", "maxima")
        return row

    def _row(self, x: Tensor, out: Tensor, scale: tuple[int, int], row_mode: RowMode = RowMode.NONE) -> RowOp:
        nothing = np.zeros(0, np.int64)
        requant = Requant(nothing, nothing, nothing, INT8.hi if row_mode and out.planes == 1 else 0)
        row = RowOp(self.label, _KIND, [x], out, ("a",), RowFunction.LINEAR, requant, row_mode)
        row.a_mult, row.shift = scale
        return row

    def _records(self, name: str, sums: Tensor, factor: int) -> Tensor:
        """What divides a mix by its row's sum, times `factor` in the result's scale.

        Raises:
            UnsupportedError: the result's scale is too small beside the values'.
        """
        records = self.tensor(name, (sums.w, 3), 1.0, home=Home.ITEMS)
        try:
            k = scale_to_multiplier(factor * float(np.float32(self.values.scale / self.out.scale)))
        except EncodingError as e:
            raise UnsupportedError([f"Attention '{self.label}': {e}; are all keys masked in calibration?"]) from e
        self.graph.insert(RecipOp(self.label, _KIND, [sums], records, RecipFunction.RECIPROCAL, *k))
        return records
