"""The order of operations in bands: as five queues would take them, so that one band's work hides another's.

A list schedule (Graham 1966) over two bands: the operation that can start first is next, of several the one of the
earlier band. Program order is what the machine's queues and the allocation of memory see.
Not here: packets (`emit/schedule.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from vlac.device.to_weights import ToWeightsOp, TransposeOp
from vlac.ir.operation import Op, Tensor
from vlac.plan.sequences import chooses

__all__ = ["in_queue_order", "weights_early"]

_BANDS = 2  # that run beside each other


def in_queue_order(instances: Sequence[Sequence[Op]], cost: Callable[[Op], int], ahead: int) -> list[Op]:
    """The operations of all instances, each of which may read what an earlier one makes.

    Args:
        instances: in a legal order.
        cost: cycles of an operation in its queue.
        ahead: how many operations of a band are looked at: more hide more, and more of their results are alive.
    """
    maker = {op.output: op for ops in instances for op in ops}
    makers = {op: [maker[t] for t in op.inputs if t in maker] for ops in instances for op in ops}
    ready: dict[Op, int] = {}  # when all that an operation reads is there, once that is known
    end: dict[Op, int] = {}
    free: Counter[str] = Counter()
    waiting = [list(ops) for ops in instances]
    out: list[Op] = []
    while True:
        while waiting and not waiting[0]:
            waiting.pop(0)
        if not waiting:
            return out
        best: tuple[int, int, int] | None = None
        for number, ops in enumerate(waiting[:_BANDS]):
            for position, op in enumerate(ops[:ahead]):
                if op not in ready:
                    if not all(m in end for m in makers[op]):
                        continue
                    ready[op] = max((end[m] for m in makers[op]), default=0)
                start = max(ready[op], free[op.queue]) if op.queue else -1
                if best is None or start < best[0]:
                    best = (start, number, position)
        assert best is not None
        _, number, position = best
        for op in _together(waiting[number], position):
            there = max((end[m] for m in makers[op]), default=0)
            start = max(there, free[op.queue]) if op.queue else there
            end[op] = start + (cost(op) if op.queue else 0)
            if op.queue:
                free[op.queue] = end[op]
            out.append(op)


def weights_early(ops: Sequence[Op]) -> list[Op]:
    """The operations with what makes weights of keys and values as soon as these are there.

    Keys of all blocks may be made in front of all blocks, and the weights of them stand with the attention that reads
    them: until then all keys lie in the activation scratchpad.
    """
    place: dict[Tensor, int] = {}
    keys: dict[Op, int] = {}
    for number, op in enumerate(ops):
        moved = isinstance(op, (ToWeightsOp, TransposeOp)) or chooses(op)
        keys[op] = place[op.output] = max((place.get(t, 0) for t in op.inputs), default=0) if moved else number
    return sorted(ops, key=keys.__getitem__)


def _together(ops: list[Op], position: int) -> list[Op]:
    """Take an operation out, with those behind it that run span by span beside it: a norm of whole tensors."""
    found = [ops.pop(position)]
    while position < len(ops) and ops[position].whole is None and ops[position].joins(found[-1]):
        found.append(ops.pop(position))
    return found
