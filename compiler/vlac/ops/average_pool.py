"""AveragePool: the POOL instruction; windows that ceil_mode cuts short become packets of their own."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vlac.device.pool import PoolOp
from vlac.ir.operation import Tensor
from vlac.ir.records import PoolPiece
from vlac.lowering.context import LoweringContext
from vlac.lowering.pooling import WINDOW_RULES, Axis, average_records, by_phases, window
from vlac.lowering.spec import OpSpec
from vlac.model.labels import node_label
from vlac.model.reading import attribute

__all__ = ["SPEC"]

_Cut = tuple[int, int, int]  # first, last + 1, kernel


def _cuts(axis: Axis) -> list[_Cut]:
    """Outputs along one axis by kernel size: whole windows, then those that reach beyond the padded input."""
    padded = axis.size + axis.pad + axis.behind
    cuts: list[_Cut] = []
    for o in range(axis.out):
        size = min(axis.kernel, padded - o * axis.stride)
        if cuts and cuts[-1][2] == size:
            cuts[-1] = (cuts[-1][0], o + 1, size)
        else:
            cuts.append((o, o + 1, size))
    return cuts


def _pieces(rows: Axis, columns: Axis, *, include: bool) -> tuple[str, list[PoolPiece], list[int]]:
    """Count mode, pieces and the divisors of the records."""
    kernel = (rows.kernel, columns.kernel)
    whole = PoolPiece(0, rows.out, 0, columns.out, kernel, 0)
    cuts = _cuts(rows), _cuts(columns)
    if not include:
        padded = rows.pad or columns.pad or rows.behind or columns.behind
        if not padded and len(cuts[0]) == len(cuts[1]) == 1:
            return "fixed", [whole], [kernel[0] * kernel[1]]
        return "valid", [whole], list(range(1, kernel[0] * kernel[1] + 1))
    pieces: list[PoolPiece] = []
    divisors: list[int] = []
    for y0, y1, kh in cuts[0]:
        for x0, x1, kw in cuts[1]:
            pieces.append(PoolPiece(y0, y1, x0, x1, (kh, kw), len(divisors)))
            divisors.append(kh * kw)
    return "fixed", pieces, divisors


def _lower(low: LoweringContext, node: ir.Node) -> None:
    x = low.operand(node, 0)
    result = low.result(node)
    include = bool(attribute(node, "count_include_pad", 0))
    dilated = max(window(node)[3]) > 1

    def plain(source: Tensor, out: Tensor, rows: Axis, columns: Axis) -> None:
        if dilated and include:  # windows are whole: what lies beyond the padding has been refused
            kernel = (rows.kernel, columns.kernel)
            count, pieces = "fixed", [PoolPiece(0, out.h, 0, out.w, kernel, 0)]
            divisors = [kernel[0] * kernel[1]]
        else:
            count, pieces, divisors = _pieces(rows, columns, include=include)
        records = average_records(source, out, np.array(divisors), f"AveragePool '{node_label(node)}'")
        low.graph.insert(
            PoolOp(
                result.label,
                "AveragePool",
                [source],
                out,
                "average",
                (rows.kernel, columns.kernel),
                (rows.stride, columns.stride),
                (rows.pad, columns.pad),
                pieces,
                count,
                records,
                out.zero_point,
                result.lo,
                result.hi,
            )
        )

    by_phases(low, node, x, result.tensor, plain)


SPEC = OpSpec(
    "AveragePool",
    "POOL; with count_include_pad 0 the number of taps inside picks the record; dilation as for MaxPool.",
    rules=WINDOW_RULES,
    lower=_lower,
)
