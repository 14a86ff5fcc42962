"""AveragePool: the POOL instruction; windows that ceil_mode cuts short become packets of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from vlac.ir.graph import PoolOp, PoolPiece, Tensor
from vlac.ops.pooling import WINDOW_RULES, average_records, window
from vlac.ops.quantized import node_label
from vlac.ops.spec import OpSpec, attribute

if TYPE_CHECKING:
    from vlac.legalize.lowering import Lowering

__all__ = ["SPEC"]

_Cut = tuple[int, int, int]  # first, last + 1, kernel


def _cuts(outputs: int, kernel: int, stride: int, padded: int) -> list[_Cut]:
    """Outputs along one axis by kernel size: whole windows, then those that reach beyond the padded input."""
    sizes = [min(kernel, padded - o * stride) for o in range(outputs)]
    cuts: list[_Cut] = []
    for o, size in enumerate(sizes):
        if cuts and cuts[-1][2] == size:
            cuts[-1] = (cuts[-1][0], o + 1, size)
        else:
            cuts.append((o, o + 1, size))
    return cuts


def _pieces(node: ir.Node, x: Tensor, out: Tensor) -> tuple[str, list[PoolPiece], list[int]]:
    """Count mode, pieces and the divisors of the records."""
    kernel, strides, pads = window(node)
    whole = PoolPiece(0, out.h, 0, out.w, kernel, 0)
    padded = (x.h + pads[0] + pads[2], x.w + pads[1] + pads[3])
    rows = _cuts(out.h, kernel[0], strides[0], padded[0])
    columns = _cuts(out.w, kernel[1], strides[1], padded[1])
    if not attribute(node, "count_include_pad", 0):
        if max(pads) == 0 and len(rows) == len(columns) == 1:
            return "fixed", [whole], [kernel[0] * kernel[1]]
        return "valid", [whole], list(range(1, kernel[0] * kernel[1] + 1))
    pieces: list[Any] = []
    divisors: list[int] = []
    for y0, y1, kh in rows:
        for x0, x1, kw in columns:
            pieces.append(PoolPiece(y0, y1, x0, x1, (kh, kw), len(divisors)))
            divisors.append(kh * kw)
    return "fixed", pieces, divisors


def _lower(low: Lowering, node: ir.Node) -> None:
    x = low.operand(node, 0)
    out = low.result(node)
    kernel, strides, pads = window(node)
    count, pieces, divisors = _pieces(node, x, out.tensor)
    records = average_records(x, out.tensor, np.array(divisors), f"AveragePool '{node_label(node)}'")
    low.graph.ops.append(
        PoolOp(
            out.label,
            "AveragePool",
            [x],
            out.tensor,
            "average",
            kernel,
            strides,
            pads[:2],
            pieces,
            count,
            records,
            out.tensor.zero_point,
            out.lo,
            out.hi,
        )
    )


SPEC = OpSpec(
    "AveragePool",
    "POOL; with count_include_pad 0 the number of taps inside picks the record.",
    rules=WINDOW_RULES,
    lower=_lower,
)
