"""Gates of a token mixture, however they are written, get their one form (`vlac.model.gates`).

matches: the values of a TopK over a Softmax, divided by their sum or not, or the Softmax of a TopK's values; put where
their indices say by ScatterElements into zeros, or by a sum of OneHot or Equal times values; or the Softmax of logits
that a mask by a TopK's indices leaves, the others at -inf; or the values of a TopK over a Sigmoid, divided by their sum
or not, or of a Sigmoid those that a TopK chooses with a constant row added to it; values also by GatherElements.
rewrite: TopK, Softmax, ScatterElements; of a Sigmoid TopK, Sigmoid, ScatterElements, with ReduceSum and Div; with a
row that is added Sigmoid, Add, TopK, GatherElements, and the same behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.model.gates import gates_of
from vlac.model.reading import attribute, constant, constant_input, is_constant, shape_of
from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.match import is_op, made_by, pairs, reduced_axes, scalar
from vlac.rewrite.sequence.views import view_of

__all__ = ["GateMaker", "Shares", "gates_in", "recover_gates", "shares_of"]

_NEVER = -1e4  # a logit of a masked expert is below
_LEAST = 1e-5  # what is added to a sum against division by 0 is below


@dataclass(frozen=True)
class Shares:
    """What gates are made of; see `Gates`. `scores`: gates are sigmoids of the logits, or shares of these; `bias` is
    added to these for the choice.
    """

    logits: ir.Value
    k: int
    among: bool
    scores: bool = False
    bias: ir.Value | None = None


@dataclass
class GateMaker:
    """Makes the gates of a graph in their one form, each once."""

    made: dict[Shares, ir.Value] = field(default_factory=dict)

    def gates(self, new: Nodes, shares: Shares) -> ir.Value:
        """Gates [..., E]; the nodes are of the first that asks."""
        if shares not in self.made:
            self.made[shares] = _form(new, shares)
        return self.made[shares]


def _form(new: Nodes, shares: Shares) -> ir.Value:
    logits, shape = shares.logits, shape_of(shares.logits)
    few = (*shape[:-1], shares.k)
    source = (
        logits if shares.among or shares.scores else new.add("Softmax", [logits], shape, {"axis": -1}, logits.dtype)
    )
    kinds = [(few, logits.dtype), (few, ir.DataType.INT64)]
    count = new.constant(np.array([shares.k], np.int64))
    scores = source
    if shares.bias is not None:
        scores = new.add("Sigmoid", [logits], shape, dtype=logits.dtype)
        source = new.add("Add", [scores, shares.bias], shape, dtype=logits.dtype)
    values, indices = new.several("TopK", [source, count], kinds, {"axis": -1})
    if shares.bias is not None:
        values = new.add("GatherElements", [scores, indices], few, {"axis": -1}, logits.dtype)
        values = _divided(new, values) if shares.among else values
    elif shares.scores:
        values = new.add("Sigmoid", [values], few, dtype=logits.dtype)
        values = _divided(new, values) if shares.among else values
    elif shares.among:
        values = new.add("Softmax", [values], few, {"axis": -1}, logits.dtype)
    zeros = new.constant(np.zeros(shape, np.float32))
    return new.add("ScatterElements", [zeros, indices, values], shape, {"axis": -1}, logits.dtype)


def _divided(new: Nodes, scores: ir.Value) -> ir.Value:
    """The scores of the chosen, divided by their sum."""
    few, kind = shape_of(scores), scores.dtype
    axes = new.constant(np.array([len(few) - 1]))
    total = new.add("ReduceSum", [scores, axes], (*few[:-1], 1), {"keepdims": 1}, kind)
    return new.add("Div", [scores, total], few, dtype=kind)


def recover_gates(model: ir.Model) -> None:
    """Rewrite every such gates of a float model, in place."""
    maker = GateMaker()
    for node in list(model.graph):
        if not is_op(node, "ScatterElements", "ReduceSum", "Softmax") or gates_of(node) is not None:
            continue
        found = shares_of(node.outputs[0])
        if found is not None and np.array_equal(found[1], np.arange(shape_of(found[0].logits)[-1])):
            with Nodes(model.graph, node) as new:
                gates, shape = maker.gates(new, found[0]), shape_of(node.outputs[0])
                new.replace(gates if shape_of(gates) == shape else new.reshape(gates, shape))


def shares_of(value: ir.Value) -> tuple[Shares, NDArray[np.int64]] | None:
    """What a value [tokens ..., n] is the gates of, and of which n experts, through moves that keep tokens in order."""
    view = view_of(value)
    node = view.root.producer()
    found = None if node is None else _made(node)
    if found is None:
        return None
    shares, experts = found
    tokens = int(np.prod(shape_of(shares.logits)[:-1]))
    positions = view.positions
    if not shape_of(value) or positions.size % tokens:
        return None
    rows = positions.reshape(tokens, -1)
    if not np.array_equal(rows - rows[:1], np.broadcast_to(np.arange(tokens)[:, None] * len(experts), rows.shape)):
        return None
    return (shares, experts[rows[0]]) if (rows[0] < len(experts)).all() else None


def gates_in(value: ir.Value) -> Shares | None:
    """What a value [tokens ..., E] is the gates of, of all experts in order."""
    node = value.producer()
    found = None if node is None else _made(node)
    return None if found is None or len(found[1]) != shape_of(found[0].logits)[-1] else found[0]


def _made(node: ir.Node) -> tuple[Shares, NDArray[np.int64]] | None:
    if is_op(node, "ScatterElements"):
        return _scattered(node)
    if is_op(node, "ReduceSum"):
        return _summed(node)
    return _masked(node) if is_op(node, "Softmax") else None


def _is_last(node: ir.Node, default: int, value: ir.Value | None) -> bool:
    rank = len(shape_of(value))
    return rank > 0 and attribute(node, "axis", default) % rank == rank - 1


def _top(indices: ir.Value | None) -> tuple[ir.Node, int] | None:
    """The TopK of the largest along the last axis that makes indices, and its k."""
    node = None if indices is None or is_constant(indices) else indices.producer()
    while node is not None and is_op(node, "Cast", "Identity"):
        indices = node.inputs[0]
        node = None if indices is None else indices.producer()
    if node is None or not is_op(node, "TopK") or indices is not node.outputs[1]:
        return None
    count = constant_input(node, 1)
    if count is None or not attribute(node, "largest", 1) or not _is_last(node, -1, node.inputs[0]):
        return None
    return node, int(count.reshape(-1)[0])


def _weighted(values: ir.Value | None, indices: ir.Value | None) -> Shares | None:
    """What the weights of chosen experts are, whose indices are these."""
    top = _top(indices)
    if top is None or values is None:
        return None
    node, k = top
    source, found = node.inputs[0], made_by(values, "Softmax", "Div", "TopK", "GatherElements")
    assert source is not None
    if found is None:
        return None
    made = _corrected(found, node, indices, k) or _gathered(found, node, k)
    if made is not None:
        return made
    if found.op_type == "Softmax":
        plain = found.inputs[0] is node.outputs[0] and _is_last(found, -1, values)
        return Shares(source, k, True) if plain and made_by(source, "Softmax") is None else None
    among = found.op_type == "Div"
    if among and not (found.inputs[0] is node.outputs[0] and _is_sum(found.inputs[1], node.outputs[0])):
        return None
    share = made_by(source, "Softmax", "Sigmoid")
    if (not among and found is not node) or share is None:
        return None
    logits, scores = share.inputs[0], share.op_type == "Sigmoid"
    if logits is None or not (scores or _is_last(share, -1, source)):
        return None
    return Shares(logits, k, among, scores)


def _corrected(found: ir.Node, top: ir.Node, indices: ir.Value | None, k: int) -> Shares | None:
    """Of sigmoids that are chosen with a constant row added to them (DeepSeek-V3), and are the weights without it."""
    among = found.op_type == "Div"
    gather = made_by(found.inputs[0], "GatherElements") if among else found
    if gather is None or gather.op_type != "GatherElements" or not _is_last(gather, 0, gather.outputs[0]):
        return None
    add = made_by(top.inputs[0], "Add")
    if add is None or (among and not _is_sum(found.inputs[1], gather.outputs[0])):
        return None
    chosen = _top(gather.inputs[1])
    if chosen is None or chosen[0] is not top or _top(indices) is None:
        return None
    for scores, bias in pairs(add):
        sigmoid, row, shape = made_by(scores, "Sigmoid"), constant(bias), shape_of(scores)
        if sigmoid is None or row is None or gather.inputs[0] is not scores or sigmoid.inputs[0] is None:
            continue
        if shape[-1] > 1 and row.size == row.shape[-1] == shape[-1]:
            return Shares(sigmoid.inputs[0], k, among, True, bias)
    return None


def _gathered(found: ir.Node, top: ir.Node, k: int) -> Shares | None:
    """Of shares or scores that are looked up by the indices of a TopK of themselves or of their logits (OLMoE)."""
    among = found.op_type == "Div"
    gather = made_by(found.inputs[0], "GatherElements") if among else found
    if gather is None or gather.op_type != "GatherElements" or not _is_last(gather, 0, gather.outputs[0]):
        return None
    chosen, whole = _top(gather.inputs[1]), gather.inputs[0]
    if chosen is None or chosen[0] is not top or (among and not _is_sum(found.inputs[1], gather.outputs[0])):
        return None
    share = made_by(whole, "Softmax", "Sigmoid")
    logits = None if share is None else share.inputs[0]
    if share is None or logits is None or top.inputs[0] not in (whole, logits):
        return None
    scores = share.op_type == "Sigmoid"
    return Shares(logits, k, among, scores) if scores or _is_last(share, -1, whole) else None


def _is_sum(value: ir.Value | None, of: ir.Value) -> bool:
    """Whether a value is the sum over the last axis, with a small number added."""
    node = made_by(value, "Add", "Clip", "Max")
    if node is not None and (least := scalar(node.inputs[1])) is not None and abs(least) <= _LEAST:
        value = node.inputs[0]
    node = made_by(value, "ReduceSum")
    last = node is not None and reduced_axes(node) == [len(shape_of(of)) - 1] and attribute(node, "keepdims", 1)
    return bool(last) and node is not None and node.inputs[0] is of


def _scattered(node: ir.Node) -> tuple[Shares, NDArray[np.int64]] | None:
    zeros = constant_input(node, 0)
    plain = attribute(node, "reduction", "none") in ("none", "add")
    if zeros is None or zeros.any() or not plain or not _is_last(node, 0, node.outputs[0]):
        return None
    shares = _weighted(node.inputs[2], node.inputs[1])
    return None if shares is None else (shares, np.arange(zeros.shape[-1]))


def _summed(node: ir.Node) -> tuple[Shares, NDArray[np.int64]] | None:
    """Of a sum over the chosen experts of weights times truth values."""
    axes, product = reduced_axes(node), made_by(node.inputs[0], "Mul")
    if axes is None or len(axes) != 1 or product is None:
        return None
    shape = shape_of(product.outputs[0])
    for hot, weights in pairs(product):
        found = _hot(hot, shape)
        if found is None:
            continue
        indices, experts = found
        below = view_of(weights)
        shares = _weighted(below.root, indices) if below.is_whole else None
        # behind the tokens: the chosen, then the experts; or the chosen alone
        behind = len(shape) - (2 if len(experts) > 1 or shape[-1] == 1 else 1)
        if shares is not None and axes[0] == behind and shape[behind] == shares.k:
            return shares, experts
    return None


def _hot(value: ir.Value, shape: tuple[int, ...]) -> tuple[ir.Value, NDArray[np.int64]] | None:
    """Of truth values (chosen is the expert): the indices of the chosen, and the experts along the last axis."""
    node = made_by(value, "Equal", "OneHot")
    source = value.producer()
    while node is None and source is not None and is_op(source, "Cast") and source.inputs[0] is not None:
        node, source = made_by(source.inputs[0], "Equal", "OneHot"), source.inputs[0].producer()
    if node is None:
        return None
    if node.op_type == "OneHot":
        depth, ends = constant_input(node, 1), constant_input(node, 2)
        last = depth is not None and ends is not None and np.array_equal(ends, [0, 1]) and _is_last(node, -1, value)
        indices = node.inputs[0]
        return (indices, np.arange(int(depth.reshape(-1)[0]))) if last and depth is not None and indices else None
    for indices, others in pairs(node):
        array, view = constant(others), view_of(indices)
        if array is not None and view.is_whole and (array.size == 1 or array.shape[-1] == array.size):
            return view.root, array.reshape(-1).astype(np.int64)
    return None


def _masked(node: ir.Node) -> tuple[Shares, NDArray[np.int64]] | None:
    """Of a Softmax over logits of which those that are not chosen are -inf."""
    where = made_by(node.inputs[0], "Where")
    if where is None or not _is_last(node, -1, node.outputs[0]):
        return None
    mask = None if where.inputs[0] is None else where.inputs[0].producer()
    while mask is not None and is_op(mask, "Cast", "Not"):
        if mask.op_type == "Not":
            return None
        mask = None if mask.inputs[0] is None else mask.inputs[0].producer()
    if mask is None or not is_op(mask, "ScatterElements") or not _is_last(mask, 0, mask.outputs[0]):
        return None
    base, update, top = constant_input(mask, 0), constant_input(mask, 2), _top(mask.inputs[1])
    if (
        base is None
        or update is None
        or top is None
        or len({*base.reshape(-1)}) != 1
        or len({*update.reshape(-1)}) != 1
    ):
        return None
    chosen = bool(update.reshape(-1)[0])
    kept, never = (where.inputs[1], where.inputs[2]) if chosen else (where.inputs[2], where.inputs[1])
    least = scalar(never)
    if bool(base.reshape(-1)[0]) == chosen or least is None or least > _NEVER or kept is not top[0].inputs[0]:
        return None
    assert kept is not None
    return Shares(kept, top[1], True), np.arange(shape_of(kept)[-1])
