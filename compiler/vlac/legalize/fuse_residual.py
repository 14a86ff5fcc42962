"""An Add whose one side is a convolution nobody else reads becomes the convolution's residual add.

The convolution's own result is still requantized to int8 first, as the model says.
"""

from __future__ import annotations

from vla_isa.numerics import ResidualRecord
from vlac.device.conv import ConvOp
from vlac.device.vec import VecOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor

__all__ = ["fuse_residuals"]


def fuse_residuals(graph: Graph) -> None:
    """Fuse every Add of two images that has such a side; the later convolution takes it."""
    for add in list(graph.ops):
        if not (isinstance(add, VecOp) and add.function == "add" and len(add.inputs) == 2 and add.table is None):
            continue
        a, b = add.inputs
        if b.constant is not None or a.shape != b.shape or a is b:
            continue
        order = {op: i for i, op in enumerate(graph.ops)}
        sides = [(order[t.producer], t) for t in (a, b) if _is_free(graph, t) and t.producer is not None]
        for position, main in sorted(sides, key=lambda s: s[0], reverse=True):
            other = b if main is a else a
            if other.producer is None or order[other.producer] < position:
                _fuse(graph, add, main, other)
                break


def _is_free(graph: Graph, tensor: Tensor) -> bool:
    producer = tensor.producer
    return (
        isinstance(producer, ConvOp)
        and producer.residual is None
        and len(tensor.consumers) == 1
        and not graph.is_output(tensor)
    )


def _fuse(graph: Graph, add: VecOp, main: Tensor, other: Tensor) -> None:
    conv = main.producer
    assert isinstance(conv, ConvOp)
    swapped = main is not add.inputs[0]
    mults = (add.b_mult, add.a_mult) if swapped else (add.a_mult, add.b_mult)
    zeros = (main.zero_point, other.zero_point, add.zero_point)
    conv.residual = ResidualRecord(*mults, add.shift, *zeros, add.lo, add.hi)
    graph.set_input(conv, 1, other)
    graph.absorb(conv, add)
    conv.node = f"{conv.node}+{add.node}"
