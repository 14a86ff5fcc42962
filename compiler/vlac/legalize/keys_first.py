"""Keys and values are made in front of the queries, and copied to weights at once: the copies run beside the queries.

Where queries are more than a product (a norm, a rotation), the product of the values comes behind theirs and hides it.

Not here: the order of heads (`lowering/attention.py`) and of bands (`plan/order.py`).
"""

from __future__ import annotations

from vla_isa.hardware import HardwareConfig
from vlac.device.gemm import GemmOp
from vlac.device.product import LogitsOp
from vlac.device.to_weights import ToWeightsOp, TransposeOp
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op

__all__ = ["keys_first"]

_SHORT = 16  # of the weight scratchpad, one such part for products that are short


def keys_first(graph: Graph, hw: HardwareConfig) -> None:
    """Reorder every attention whose keys and values take a quarter of the weight scratchpad at most."""
    attentions: dict[str, list[Op]] = {}
    for op in graph.ops:
        if isinstance(op, (ToWeightsOp, TransposeOp)):
            attentions.setdefault(op.node, []).append(op)
    for node, copies in attentions.items():
        words = sum(op.output.row_words(hw.block) for op in copies if op.output.home is Home.WEIGHTS)
        if words <= hw.weight_words // 4:
            logits = [op for op in graph.ops if isinstance(op, LogitsOp) and op.node == node]
            if logits:  # else the transposes are moves of int16
                _reorder(graph, copies, logits)
                _new_values_last(graph, copies, logits, hw)


def _reorder(graph: Graph, copies: list[Op], logits: list[LogitsOp]) -> None:
    """Copies behind the last of what they read, in their order, then the chain that makes the queries."""
    place = {op: i for i, op in enumerate(graph.ops)}
    choices = [made for op in copies for t in op.inputs if (made := t.producer) is not None and not made.queue]
    makers = [made for op in copies for t in op.inputs if (made := t.root.producer) is not None and made not in copies]
    last = max(makers, key=place.__getitem__, default=None)
    if last is None or any(place[op] < place[last] for op in logits):  # heads that are moved one by one
        return
    chain = _queries(logits, place)
    moved = {*chain, *choices, *copies}
    early = all(place[op] < place[last] for op in chain)  # else keys are in front already, as those of a condition
    if not early or any(op in makers or not _is_read_later(op, place[last], moved, place) for op in chain):
        chain = []
    late = _values_behind(chain, copies, makers, place, last)
    if late:
        last = max((op for op in makers if op not in late), key=place.__getitem__)
        choices, copies = ([op for op in ops if op not in late] for ops in (choices, copies))
    for op in [*choices, *copies, *chain[:1], *late, *chain[1:]]:
        graph.move(op, last)
        last = op


def _values_behind(chain: list[Op], copies: list[Op], makers: list[Op], place: dict[Op, int], last: Op) -> list[Op]:
    """The product that makes the values, and their copies, where they can come behind the product of the queries."""
    turned = [op for op in copies if isinstance(op, TransposeOp)]
    made = dict.fromkeys(op.inputs[0].root.producer for op in turned)
    values = [op for op in made if isinstance(op, GemmOp)]
    alone = len(values) == len(made) == 1 and any(op not in values for op in makers)
    if len(chain) < 2 or not alone or not isinstance(chain[0], GemmOp) or values[0] in chain:
        return []
    behind = [op for op in copies if op in turned or op.inputs[0].producer in turned]
    choices = [op.inputs[0].producer for op in turned]
    found = dict.fromkeys([*values, *(op for op in choices if op is not None and not op.queue), *behind])
    return list(found) if _is_read_later(values[0], place[last], set(found), place) else []


def _new_values_last(graph: Graph, copies: list[Op], logits: list[LogitsOp], hw: HardwareConfig) -> None:
    """Values that are put behind cached ones: their product and copies behind the last product of turned queries.

    Where those are short: behind long ones the array waits for the copies.
    """
    place = {op: i for i, op in enumerate(graph.ops)}
    chain = _queries(logits, place)
    products = [op for op in chain if isinstance(op, GemmOp)]
    group = _new_values(copies)
    words = sum(op.weight.size for op in products) // hw.block**2
    if words > hw.weight_words // _SHORT or not products or len(products) == len(chain) or not group:
        return
    if max(place[op] for op in group) > place[products[-1]]:
        return
    if all(_is_read_later(op, place[products[-1]], group, place) for op in group):
        last: Op = products[-1]
        for op in sorted(group, key=place.__getitem__):
            graph.move(op, last)
            last = op


def _new_values(copies: list[Op]) -> set[Op]:
    """Products, concats and copies that make values as weights, where values are moved only; else nothing."""
    found: set[Op] = {op for op in copies if isinstance(op, TransposeOp)}
    waiting = [t for op in found for t in op.inputs]
    while waiting:
        made = waiting.pop().root.producer
        if made is None or made in found:
            continue
        if made.queue not in ("", "load") and not isinstance(made, GemmOp):
            return set()
        found.add(made)
        if not isinstance(made, GemmOp):
            waiting += made.inputs
    return found | {op for op in copies if op.inputs[0].producer in found}


def _queries(logits: list[LogitsOp], place: dict[Op, int]) -> list[Op]:
    """The operations that make queries and nothing else, from a product on, in their order."""
    found: dict[Op, None] = {}
    waiting = [op.inputs[0].root.producer for op in logits]
    while waiting:
        op = waiting.pop()
        if op is None or op in found or not op.queue:
            continue
        found[op] = None
        if not isinstance(op, GemmOp):
            waiting += [t.root.producer for t in op.inputs]
    return sorted(found, key=place.__getitem__) if any(isinstance(op, GemmOp) for op in found) else []


def _is_read_later(op: Op, last: int, moved: set[Op], place: dict[Op, int]) -> bool:
    """Whether what reads an operation stands behind a place, or moves with it; choices of channels move nothing."""
    readers = list(op.output.consumers)
    for reader in readers:
        if not reader.queue:
            readers += reader.output.consumers
    return all(reader in moved or place[reader] > last for reader in readers)
