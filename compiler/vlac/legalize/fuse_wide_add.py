"""A sum of int16 whose one side is a product nobody else reads becomes that product's residual.

Nothing changes a bit but sums whose product alone would saturate: all three have one scale, and the product is clamped
behind the add only.
"""

from __future__ import annotations

from vla_isa.generated.codes import RowFunction, RowMode, RowTable
from vlac.device.gemm import GemmOp
from vlac.device.row import RowOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Op, Tensor

__all__ = ["fuse_wide_adds"]


def fuse_wide_adds(graph: Graph) -> None:
    """Fuse every such sum; of two products the later one takes it."""
    for add in list(graph.ops):
        if not (isinstance(add, RowOp) and _is_plain_sum(add)):
            continue
        order = {op: i for i, op in enumerate(graph.ops)}
        a, c = add.inputs
        sides = sorted([(a, c), (c, a)], key=lambda s: -_place(order, s[0]))
        for main, other in sides:
            if _is_free(graph, main, add) and _place(order, other) < _place(order, main):
                _fuse(graph, add, main, other)
                break


def _place(order: dict[Op, int], tensor: Tensor) -> int:
    return -1 if tensor.producer is None else order[tensor.producer]


def _is_plain_sum(op: RowOp) -> bool:
    """Whether it adds two int16 of its output's scale."""
    plain = op.function == RowFunction.LINEAR and (op.row_mode, op.table_mode) == (RowMode.NONE, RowTable.NONE)
    same = all(t.same_scale(op.output) for t in op.inputs)
    return plain and same and op.roles == ("a", "c") and op.output.planes == 2


def _is_free(graph: Graph, tensor: Tensor, add: RowOp) -> bool:
    made = tensor.producer
    lone = len(tensor.consumers) == 1 and not graph.is_output(tensor)
    return isinstance(made, GemmOp) and lone and len(made.inputs) == 1 and tensor.same_order(add.output)


def _fuse(graph: Graph, add: RowOp, main: Tensor, other: Tensor) -> None:
    product = main.producer
    assert isinstance(product, GemmOp)
    graph.set_input(product, 1, other)
    graph.absorb(product, add)
    product.node = f"{product.node}+{add.node}"
