"""The gates of a token mixture of experts in their one form: shares of the k largest logits, 0 elsewhere.

    shares of the k alone       values, indices = TopK(logits, k);          ScatterElements(0, indices, Softmax(values))
    shares of all logits        values, indices = TopK(Softmax(logits), k); ScatterElements(0, indices, values)
    scores                      values, indices = TopK(logits, k);          ScatterElements(0, indices, Sigmoid(values))
    shares of scores            the same, Sigmoid(values) divided by their ReduceSum
    of corrected scores         scores = Sigmoid(logits);         _, indices = TopK(scores + a constant row, k);
                                values = GatherElements(scores, indices), divided by their ReduceSum or not

along the last axis. Not here: how exporters write them (`rewrite/sequence/gates.py`), what they become
(`lowering/gates.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from vlac.model.reading import attribute, constant_input, shape_of

__all__ = ["Gates", "gates_of", "is_inside_gates"]

_PARTS = (  # what is nearer to the end first
    *("ScatterElements", "Div", "ReduceSum", "GatherElements"),
    *("Sigmoid", "Softmax", "TopK", "Add"),
)


@dataclass(frozen=True)
class Gates:
    """Gates [..., E] of logits [..., E].

    Attributes:
        logits: what is compared.
        k: how many are not 0.
        among: whether shares are of the k alone, so that their sum is 1.
        nodes: what computes them, in order; the last makes them.
        scores: whether they are made of the logits' sigmoids: these, or with `among` shares of them.
        bias: what is added to the sigmoids [.., E] for the choice alone, a constant row.
    """

    logits: ir.Value
    k: int
    among: bool
    nodes: tuple[ir.Node, ...]
    scores: bool = False
    bias: ir.Value | None = None


def gates_of(node: ir.Node) -> Gates | None:
    """The gates that a node is a part of."""
    last: ir.Node | None = node
    while last is not None and last.op_type != "ScatterElements":
        readers = _readers(last) if last.op_type in _PARTS and last.domain in ("", "ai.onnx") else []
        last = min(readers, key=lambda n: _PARTS.index(n.op_type), default=None)
    found = None if last is None else _at(last)
    if found is None or node not in found.nodes:
        return None
    inside = all(
        _readers(n) and found.nodes.count(n) and set(_readers(n)) <= set(found.nodes) for n in found.nodes[:-1]
    )
    return found if inside else None


def is_inside_gates(node: ir.Node) -> bool:
    """Whether gates have a node in front of their last."""
    return node.op_type in _PARTS[1:] and gates_of(node) is not None


def _readers(node: ir.Node) -> list[ir.Node]:
    """What reads a node, all parts of gates; none where something else does."""
    found = [u for value in node.outputs for u in value.consumers()]
    plain = all(u.op_type in _PARTS and u.domain in ("", "ai.onnx") for u in found)
    return found if plain and not any(v.is_graph_output() for v in node.outputs) else []


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
    scored = _scores(shares, rank)
    made = scored[0] if scored else None
    if made is not None and made.op_type == "GatherElements":
        return _corrected(chosen, scored, scatter, int(count.reshape(-1)[0]))
    if made is not None and made.inputs[0] is chosen.outputs[0] and source is not None:
        return Gates(source, int(count.reshape(-1)[0]), len(scored) > 1, (chosen, *scored, scatter), True)
    if _is_share(softmax, rank) and softmax is not None and softmax.inputs[0] is chosen.outputs[0]:
        return None if source is None else Gates(source, int(count.reshape(-1)[0]), True, (chosen, softmax, scatter))
    softmax = None if source is None else source.producer()
    if shares is not chosen.outputs[0] or softmax is None or not _is_share(softmax, rank):
        return None
    logits = softmax.inputs[0]
    return None if logits is None else Gates(logits, int(count.reshape(-1)[0]), False, (softmax, chosen, scatter))


def _scores(shares: ir.Value, rank: int) -> list[ir.Node]:
    """What makes shares, or the values themselves, of Sigmoid or GatherElements; nothing where shares are others."""
    node, more = shares.producer(), list[ir.Node]()
    if node is not None and node.op_type == "Div":
        total = None if node.inputs[1] is None else node.inputs[1].producer()
        axes = None if total is None else constant_input(total, 1)
        last = axes is not None and [int(a) % rank for a in axes.reshape(-1)] == [rank - 1]
        if total is None or total.op_type != "ReduceSum" or not last or not attribute(total, "keepdims", 1):
            return []
        if total.inputs[0] is not node.inputs[0] or node.inputs[0] is None:
            return []
        more, node = [total, node], node.inputs[0].producer()
    return [node, *more] if node is not None and node.op_type in ("Sigmoid", "GatherElements") else []


def _corrected(chosen: ir.Node, scored: list[ir.Node], scatter: ir.Node, k: int) -> Gates | None:
    """Gates of scores that are chosen with a constant row added to them."""
    gather, total = scored[0], chosen.inputs[0]
    add = None if total is None else total.producer()
    scores, indices = gather.inputs[:2]
    sigmoid = None if scores is None else scores.producer()
    if add is None or add.op_type != "Add" or sigmoid is None or sigmoid.op_type != "Sigmoid" or scores is None:
        return None
    rank = len(shape_of(scores))
    last = attribute(gather, "axis", 0) % rank == rank - 1
    others = [v for v in add.inputs if v is not scores]
    bias, logits = (others[0] if len(others) == 1 else None), sigmoid.inputs[0]
    if indices is not chosen.outputs[1] or not last or bias is None or bias.const_value is None or logits is None:
        return None
    if not shape_of(bias) or math.prod(shape_of(bias)) != shape_of(scores)[-1] or shape_of(bias)[-1] == 1:
        return None
    return Gates(logits, k, len(scored) > 1, (sigmoid, add, chosen, *scored, scatter), True, bias)


def _is_largest(node: ir.Node | None, rank: int) -> bool:
    """Whether a node is a TopK of the largest along the last axis."""
    if node is None or node.op_type != "TopK" or not attribute(node, "largest", 1):
        return False
    return bool(attribute(node, "axis", -1) % rank == rank - 1)


def _is_share(node: ir.Node | None, rank: int) -> bool:
    return node is not None and node.op_type == "Softmax" and attribute(node, "axis", -1) % rank == rank - 1
