"""An elementwise VEC whose two operands are functions of one tensor becomes a table of that tensor.

So x * Sigmoid(x) of a model that is quantized in between costs no VEC of its own. Nothing changes a bit: the table
holds what the two instructions compute for each of the 256 values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import INT8
from vla_isa.numerics import apply_table
from vlac.device.vec import VecOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor

__all__ = ["fuse_same_source"]

_ALL = INT8.values()


def fuse_same_source(graph: Graph) -> None:
    """Rewrite every such operation; what it no longer reads may be dead afterwards."""
    for op in graph.ops:
        if not isinstance(op, VecOp) or len(op.inputs) != 2 or op.inputs[0].shape != op.inputs[1].shape:
            continue
        source = _source(*op.inputs)
        if source is not None:
            _fuse(graph, op, source)


def _is_table_of(tensor: Tensor, source: Tensor) -> bool:
    made = tensor.producer
    return isinstance(made, VecOp) and made.table is not None and made.inputs == [source]


def _source(a: Tensor, b: Tensor) -> Tensor | None:
    """The tensor that both are, or are tables of."""
    made = a.producer
    candidates = [a, b, *(made.inputs[:1] if isinstance(made, VecOp) else [])]
    for source in candidates:
        if source.constant is None and all(t is source or _is_table_of(t, source) for t in (a, b)):
            return source
    return None


def _fuse(graph: Graph, op: VecOp, source: Tensor) -> None:
    table = op.meaning([_values(t, source) for t in op.inputs])
    graph.drop_input(op, 1)
    graph.set_input(op, 0, source)
    op.make_table(INT8.cast(table), source.zero_point)


def _values(tensor: Tensor, source: Tensor) -> NDArray[np.int64]:
    """The values of `tensor` where `source` has every value of its type."""
    if tensor is source:
        return _ALL
    made = tensor.producer
    assert isinstance(made, VecOp) and made.table is not None
    return apply_table(_ALL, made.table)
