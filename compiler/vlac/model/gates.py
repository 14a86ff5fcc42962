"""The gates of a token mixture of experts in their one form: shares of the k largest logits, 0 elsewhere.

    shares of the k alone       values, indices = TopK(logits, k);          ScatterElements(0, indices, Softmax(values))
    shares of all logits        values, indices = TopK(Softmax(logits), k); ScatterElements(0, indices, values)

along the last axis. Not here: how exporters write them (`rewrite/sequence/gates.py`), what they become
(`lowering/gates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from vlac.model.reading import attribute, constant_input, shape_of

__all__ = ["Gates", "gates_of"]

_PARTS = ("Softmax", "TopK", "ScatterElements")


@dataclass(frozen=True)
class Gates:
    """Gates [..., E] of logits [..., E].

    Attributes:
        logits: what is compared.
        k: how many are not 0.
        among: whether shares are of the k alone, so that their sum is 1.
        nodes: what computes them, in order; the last makes them.
    """

    logits: ir.Value
    k: int
    among: bool
    nodes: tuple[ir.Node, ...]


def gates_of(node: ir.Node) -> Gates | None:
    """The gates that a node is a part of."""
    if node.op_type not in _PARTS or node.domain not in ("", "ai.onnx"):
        return None
    last = node
    while last.op_type != "ScatterElements":
        readers = {u for value in last.outputs for u in value.consumers()}
        following = [u for u in readers if u.op_type in _PARTS]
        if any(v.is_graph_output() for v in last.outputs) or len(readers) != len(following):
            return None
        if last.op_type == "TopK":  # its values go through a Softmax, or not
            following = [u for u in following if u.op_type == "ScatterElements"]
        if len(following) != 1:
            return None
        last = following[0]
    found = _at(last)
    return found if found is not None and node in found.nodes else None


def _at(scatter: ir.Node) -> Gates | None:
    zeros, indices, shares = (*scatter.inputs, None, None, None)[:3]
    array = constant_input(scatter, 0)
    rank = len(shape_of(zeros))
    chosen = None if indices is None else indices.producer()
    if (
        array is None
        or array.any()
        or attribute(scatter, "axis", 0) % rank != rank - 1
        or not _is_largest(chosen, rank)
    ):
        return None
    assert chosen is not None and shares is not None
    count = constant_input(chosen, 1)
    softmax = shares.producer()
    if count is None or indices is not chosen.outputs[1] or attribute(scatter, "reduction", "none") != "none":
        return None
    source = chosen.inputs[0]
    if _is_share(softmax, rank) and softmax is not None and softmax.inputs[0] is chosen.outputs[0]:
        return None if source is None else Gates(source, int(count.reshape(-1)[0]), True, (chosen, softmax, scatter))
    softmax = None if source is None else source.producer()
    if shares is not chosen.outputs[0] or softmax is None or not _is_share(softmax, rank):
        return None
    logits = softmax.inputs[0]
    return None if logits is None else Gates(logits, int(count.reshape(-1)[0]), False, (softmax, chosen, scatter))


def _is_largest(node: ir.Node | None, rank: int) -> bool:
    """Whether a node is a TopK of the largest along the last axis."""
    if node is None or node.op_type != "TopK" or not attribute(node, "largest", 1):
        return False
    return bool(attribute(node, "axis", -1) % rank == rank - 1)


def _is_share(node: ir.Node | None, rank: int) -> bool:
    return node is not None and node.op_type == "Softmax" and attribute(node, "axis", -1) % rank == rank - 1
