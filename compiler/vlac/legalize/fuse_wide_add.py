"""A sum of int16 whose one side is a product nobody else reads becomes that product's residual.

Of a product in two halves (`lowering/matrix_layer.py`) it is the first one's, which is the second one's.

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
            product = _free(graph, main, add)
            if product is not None and _place(order, other) < order[product]:
                _fuse(graph, add, main, product, other)
                break


def _place(order: dict[Op, int], tensor: Tensor) -> int:
    return -1 if tensor.producer is None else order[tensor.producer]


def _is_plain_sum(op: RowOp) -> bool:
    """Whether it adds two int16 of its output's scale."""
    plain = op.function == RowFunction.LINEAR and (op.row_mode, op.table_mode) == (RowMode.NONE, RowTable.NONE)
    same = all(t.same_scale(op.output) for t in op.inputs)
    return plain and same and op.roles == ("a", "c") and op.output.planes == 2


def _free(graph: Graph, tensor: Tensor, add: RowOp) -> GemmOp | None:
    """The product that can take what is added to `tensor`: its maker, or the one whose result that takes already."""
    made = tensor.producer
    lone = len(tensor.consumers) == 1 and not graph.is_output(tensor)
    if not (isinstance(made, GemmOp) and lone and tensor.same_order(add.output)):
        return None
    return made if len(made.inputs) == 1 else _free(graph, made.inputs[1], add)


def _fuse(graph: Graph, add: RowOp, main: Tensor, product: GemmOp, other: Tensor) -> None:
    last = main.producer
    assert isinstance(last, GemmOp)
    graph.set_input(product, 1, other)
    graph.absorb(last, add)
    last.node = f"{last.node}+{add.node}"
