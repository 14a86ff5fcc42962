"""Keys and values that one run hands to the next, and all that is joined with them: they share one scale.

    past_key, past_value   inputs 4 and 5 of an Attention, with K and V and results 1 and 2
    TensorScatter          a cache, what is written into it, and the result
    carried state          of one of these: the input and the output
    shared state           what another graph of the program makes or reads
    Concat                 where one part is, through moves, an input of the model and the result goes, through moves,
                           to the keys or values of an Attention
                           where at least four follow each other, each of which joins more to what the one before
                           joined: tokens of a decoder that is exported with all of its steps

Not here: which scale that is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_ir as ir

from vlac.model.carried import carried_values, shared_values
from vlac.model.reading import is_lookup
from vlac.ops import BY_NAME

__all__ = ["find_caches", "moves"]

_LEAST = 4  # joins of one growing cache; few are each in a scale of their own


def moves(node: ir.Node) -> bool:
    """Whether an operator only moves the values of its first input."""
    spec = BY_NAME.get(node.op_type)
    only = spec is not None and spec.keeps_scale and node.op_type not in ("Pad", "Resize", "Concat")
    return only and not is_lookup(node)


def find_caches(
    model: ir.Model, inside: Collection[ir.Node], states: Collection[tuple[ir.Value, ir.Value]] = ()
) -> dict[ir.Value, ir.Value]:
    """Each value of a cache, and the first of those that share its scale; of the nodes of the device.

    Args:
        model: the model.
        inside: the nodes of the device.
        states: of the carried state what counts as a cache in any case.
    """
    groups: dict[ir.Value, list[ir.Value]] = {}
    growing = _growing(model, inside)
    for node in model.graph:
        if node not in inside:
            continue
        for joined in _joined(node, inside, growing):
            _merge(groups, _with_moves(joined, inside))
    for value in shared_values(model):
        if value.dtype == ir.DataType.FLOAT:
            _merge(groups, _with_moves([value], inside))
    for pair in carried_values(model):
        if pair in states or any(_source(v, inside) in groups for v in pair):
            _merge(groups, _with_moves([*pair], inside))
    return {v: group[0] for v, group in groups.items()}


def _growing(model: ir.Model, inside: Collection[ir.Node]) -> set[ir.Node]:
    """Concats of keys or values that each join more to what one before joined, in chains of at least `_LEAST`."""
    parts: dict[ir.Node | None, tuple[ir.Value, ...]] = {}  # of all that each joins
    chains: dict[tuple[ir.Value, ...], list[ir.Node]] = {}
    for node in model.graph:
        if node.op_type == "Concat" and node in inside and _is_attended(node, inside):
            given = [v for v in node.inputs if v is not None]
            whole = tuple(p for v in given for p in parts.get(_source(v, inside).producer(), (v,)))
            before = (chains[whole[:n]] for n in range(len(whole) - 1, 1, -1) if whole[:n] in chains)
            parts[node], chains[whole] = whole, [*next(before, []), node]
    return {node for chain in chains.values() if len(chain) >= _LEAST for node in chain}


def _joined(node: ir.Node, inside: Collection[ir.Node], growing: Collection[ir.Node]) -> list[list[ir.Value]]:
    """Operands and results of a node that share a scale."""
    found: list[list[ir.Value | None]] = []
    if node.op_type == "TensorScatter":
        found.append([*node.inputs[:2], node.outputs[0]])
    elif node.op_type == "Attention":
        for i in (1, 2):
            if len(node.inputs) > i + 3 and node.inputs[i + 3] is not None:
                found.append([node.inputs[i], node.inputs[i + 3], *node.outputs[i : i + 1]])
    elif node in growing or (node.op_type == "Concat" and _is_cache(node, inside)):
        found.append([*node.inputs, node.outputs[0]])
    return [[v for v in group if v is not None and v.const_value is None] for group in found]


def _is_cache(node: ir.Node, inside: Collection[ir.Node]) -> bool:
    given = any(v is not None and _source(v, inside).is_graph_input() for v in node.inputs)
    return given and _is_attended(node, inside)


def _is_attended(node: ir.Node, inside: Collection[ir.Node]) -> bool:
    """Whether what it makes goes to keys or values."""
    places = {u.inputs.index(v) for v in _forward([node.outputs[0]], inside) for u in v.consumers() if _attends(u)}
    return bool({1, 2} & places)


def _attends(node: ir.Node) -> bool:
    return bool(node.op_type == "Attention")


def _source(value: ir.Value, inside: Collection[ir.Node]) -> ir.Value:
    """What a value is moved from."""
    node = value.producer()
    while node is not None and node in inside and moves(node) and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _forward(values: Iterable[ir.Value], inside: Collection[ir.Node]) -> list[ir.Value]:
    """Values and all that is moved from them."""
    found: dict[ir.Value, None] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop(0)
        if value not in found:
            found[value] = None
            waiting += [v for u in value.consumers() if u in inside and moves(u) for v in u.outputs]
    return list(found)


def _with_moves(values: list[ir.Value], inside: Collection[ir.Node]) -> list[ir.Value]:
    return _forward([_source(v, inside) for v in values], inside)


def _merge(groups: dict[ir.Value, list[ir.Value]], values: list[ir.Value]) -> None:
    """Let values, and the groups that they are in, be one group."""
    whole = list(dict.fromkeys([w for v in values for w in groups.get(v, [v])]))
    groups |= dict.fromkeys(whole, whole)
