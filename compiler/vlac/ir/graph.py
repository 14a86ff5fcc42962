"""The device graph: operations in execution order, and every edit of uses and producers.

Built by `legalize/` from a QDQ model; read by the planning and by `emit/`. Not here: what a tensor and an operation
are (`ir/operation.py`), addresses.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.signature import Signature
from vlac.errors import GraphError
from vlac.ir.operation import Op, Tensor

__all__ = ["Alias", "Graph", "GraphOutput"]

I64 = NDArray[np.int64]
_NEAR = 256  # operations around the last place, where the next one is looked for first


@dataclass(frozen=True)
class GraphOutput:
    """An output of the device: its name, the shape the host sees, and the tensor that holds it.

    With `moved` the output's element i is element `moved[i]` of the tensor; `layout` is then the (view, permutation)
    with which the host unpacks it. `source` is the tensor the model names, where `tensor` is a copy of it with its
    channels in order. A `debug` output is none of the model's: it is there for comparison.
    """

    name: str
    shape: tuple[int, ...]
    tensor: Tensor
    moved: I64 | None = None
    layout: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    source: Tensor | None = None
    debug: bool = False

    def tensor_values(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """The tensor's values from the output's."""
        flat = values.reshape(-1)
        return (flat if self.moved is None else flat[np.argsort(self.moved)]).reshape(self.tensor.shape)


@dataclass(frozen=True)
class Alias:
    """A tensor of the model whose values others hold: element i is their element `index[i]`, -1 the integer `fill`."""

    tensor: Tensor
    holders: list[Tensor]
    index: I64
    fill: int = 0


@dataclass(eq=False)
class Graph:
    """Tensors and operations in execution order.

    `input_layouts` replaces the packing of an input (space to depth, transposes): input tensor -> the ONNX input's
    (shape, view, permutation). `input_orders` says where such a tensor's elements lie in the ONNX input, unless they
    keep its order. `input_labels` are their names and the values of the host that they take. `signature` is the model
    seen from outside, without inputs that are constants: those are `fixed`; `carried` are the model's inputs that are
    an output of the run before, `repeat` how many such runs the program is. `tasks` are those that its convolutions
    have masks of. `aliases` are tensors of the model that need no memory.
    """

    inputs: list[Tensor]
    outputs: list[GraphOutput]
    ops: list[Op]
    input_labels: dict[Tensor, tuple[str, int]] = field(default_factory=dict)
    input_layouts: dict[Tensor, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    input_orders: dict[Tensor, I64] = field(default_factory=dict)
    aliases: list[Alias] = field(default_factory=list)
    signature: Signature | None = None
    carried: dict[str, str] = field(default_factory=dict)
    repeat: int = 1
    tasks: tuple[str, ...] = ()
    fixed: dict[str, NDArray[Any]] = field(default_factory=dict)
    _taken: Counter[str] = field(init=False, repr=False, default_factory=Counter)  # names of what is made here
    _last: int = field(init=False, repr=False, default=0)  # place of the operation that was looked for last

    def __post_init__(self) -> None:
        self.set_ops(self.ops)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that exist at run time, inputs first."""
        constants = [t for op in self.ops for t in op.inputs if t.constant is not None]
        return [*self.inputs, *dict.fromkeys(constants), *(op.output for op in self.ops)]

    def is_output(self, tensor: Tensor) -> bool:
        """Whether the model returns this tensor."""
        return any(o.tensor is tensor for o in self.outputs)

    # --- checks ---------------------------------------------------------------------------------------

    def verify(self, after: str) -> None:
        """Check what every pass may rely on: uses, producers, order, names, channel maps, and every operation.

        Args:
            after: the pass that ran last, for the message.

        Raises:
            GraphError: names the pass, and the tensor or operation.
        """
        try:
            _check_uses(self)
            _check_order(self)
            _check_names(self, self._taken)
            for tensor in self.tensors:
                _check_map(tensor)
            for op in self.ops:
                op.verify()
        except GraphError as e:
            raise GraphError(f"the device graph after '{after}': {e}; please report this") from e

    # --- edits ----------------------------------------------------------------------------------------

    def set_ops(self, ops: list[Op]) -> None:
        """Have other operations, whose uses and producers are the caller's to enter."""
        self.ops, self._taken = ops, Counter(op.output.name for op in ops)

    def index(self, op: Op) -> int:
        """The place of an operation in the order.

        Looked for around the last one first: passes go through the operations in order, and there are many.
        """
        try:
            self._last = self.ops.index(op, max(0, self._last - _NEAR), self._last + _NEAR)
        except ValueError:
            self._last = self.ops.index(op)
        return self._last

    def insert(self, op: Op, before: Op | None = None) -> None:
        """Put an operation in front of another, or at the end, and enter it in its tensors.

        The output gets a number behind its name where another tensor has that name.
        """
        if self._is_taken(op.output.name):
            op.output.name = next(name for n in count(1) if not self._is_taken(name := f"{op.output.name}#{n}"))
        self._taken[op.output.name] += 1
        self.ops.insert(len(self.ops) if before is None else self.index(before), op)
        op.output.producer = op
        for tensor in op.inputs:
            tensor.consumers.append(op)

    def _is_taken(self, name: str) -> bool:
        return self._taken[name] > 0 or any(t.name == name for t in self.inputs)

    def erase(self, op: Op) -> None:
        """Take an operation out; its output is left without a producer."""
        del self.ops[self.index(op)]
        self._taken[op.output.name] -= 1
        for tensor in op.inputs:
            tensor.consumers.remove(op)
        if op.output.producer is op:
            op.output.producer = None

    def replace_op(self, old: Op, *new: Op) -> None:
        """Put operations in the place of one; the last of them makes its output."""
        at = self.index(old)
        following = self.ops[at + 1] if at + 1 < len(self.ops) else None
        self.erase(old)
        for op in new:
            self.insert(op, before=following)

    def move(self, op: Op, behind: Op) -> None:
        """Let an operation come right behind another one."""
        del self.ops[self.index(op)]
        self.ops.insert(self.index(behind) + 1, op)

    def absorb(self, op: Op, follower: Op) -> None:
        """Let `op` make what `follower`, the only reader of its output, makes; the follower goes."""
        self.erase(follower)
        self._taken[op.output.name] -= 1
        self._taken[follower.output.name] += 1
        op.output.producer = None
        op.output = follower.output
        op.output.producer = op

    def set_input(self, op: Op, index: int, tensor: Tensor) -> None:
        """Let an operation read `tensor` as input `index`, which may be one more than it has."""
        if index < len(op.inputs):
            op.inputs[index].consumers.remove(op)
        op.inputs[index : index + 1] = [tensor]
        tensor.consumers.append(op)

    def drop_input(self, op: Op, index: int) -> None:
        """Let an operation no longer read input `index`."""
        op.inputs.pop(index).consumers.remove(op)

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Let every consumer and graph output of `old` read `new`."""
        for op in list(old.consumers):
            op.inputs = [new if t is old else t for t in op.inputs]
            new.consumers.append(op)
        old.consumers.clear()
        self.outputs = [replace(o, tensor=new) if o.tensor is old else o for o in self.outputs]


def _check_uses(graph: Graph) -> None:
    """Every tensor knows its readers, once for each mention, and its maker."""
    readers: dict[Tensor, Counter[Op]] = {}
    for op in graph.ops:
        _require(op.output.producer is op, op.output, f"does not know that '{op.node}' makes it")
        for tensor in op.inputs:
            readers.setdefault(tensor, Counter())[op] += 1
    known = dict.fromkeys([*graph.tensors, *readers, *(o.tensor for o in graph.outputs)])
    for tensor in known:
        found, wanted = Counter(tensor.consumers), readers.get(tensor, Counter())
        for op in (found - wanted) + (wanted - found):
            text = f"is read {wanted[op]} times by '{op.node}', its list of uses says {found[op]} times"
            _require(False, tensor, text)
        made = tensor.producer is not None and tensor.producer.output is tensor
        _require(tensor.producer is None or made, tensor, "has a producer that makes another tensor")


def _check_names(graph: Graph, taken: Counter[str]) -> None:
    """Those that new ones are told from are those of what is made here."""
    made = Counter(op.output.name for op in graph.ops)
    for name in (taken - made) + (made - taken):
        raise GraphError(f"the name '{name}' is known {taken[name]} times, and {made[name]} operations make it")


def _check_order(graph: Graph) -> None:
    """Everything is made once, before it is read, and under a name of its own."""
    there = set(graph.inputs)
    for op in graph.ops:
        for tensor in op.inputs:
            _require(tensor in there or tensor.constant is not None, tensor, f"is not made before '{op.node}' reads it")
        _require(op.output not in there, op.output, "is made twice")
        there.add(op.output)
    for out in graph.outputs:
        _require(out.tensor in there, out.tensor, f"is output '{out.name}', but nothing makes it")
    names: dict[str, Tensor] = {}
    for tensor in graph.tensors:
        _require(names.setdefault(tensor.name, tensor) is tensor, tensor, "has the name of another tensor")


def _check_map(tensor: Tensor) -> None:
    """A channel map names no channel that does not exist; a copy may want one twice, or not at all."""
    if tensor.channel_map is not None:
        _require(
            bool((tensor.channel_map < tensor.c).all()), tensor, "has a channel map with a channel that does not exist"
        )


def _require(holds: bool, tensor: Tensor, text: str) -> None:
    if not holds:
        raise GraphError(f"tensor '{tensor.name}' {text}")
