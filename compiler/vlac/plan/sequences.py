"""What of a graph can be computed in bands of pixels, and the phases that this takes.

Not here: the operations of a band (`rows.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vlac.device.concat import ConcatOp
from vlac.device.copy import CopyOp
from vlac.device.to_weights import ToWeightsOp, TransposeOp
from vlac.ir.cut import Span
from vlac.ir.operation import Home, Op, Tensor
from vlac.plan.rows_in_place import joined_rows

__all__ = ["Sequences", "Spill", "chooses", "longest"]

_SMALL = 64  # such a part of the activation scratchpad is not worth a place in the data space


class Spill(IntEnum):
    """What a later phase reads and lies in the data space in between; each has what those before it have."""

    NOTHING = 0
    BANDS = 1  # what it reads band by band; keys become weights at once
    ALL = 2  # large tensors that it reads whole, and all weights that bands make


def longest(ops: Sequence[Op]) -> int:
    """The most pixels of what can be cut."""
    return max((op.output.w for op in ops if op.by_pixels and op.output.h == 1), default=0)


def chooses(op: Op | None) -> bool:
    """Whether it is a choice of channels that lie in its input."""
    return op is not None and not op.queue and len(op.inputs) == 1 and op.output.parent is op.inputs[0]


@dataclass
class Sequences:
    """Tensors of one row that are made in bands of `rows` pixels.

    Attributes:
        ops, inputs: of a placed graph.
        spill: what lies in the data space between phases.
        whole: inputs that are loaded at once.
        banded: roots that are made band by band.
        joined: those of them that are whole on chip.
        reloaded: those of them that lie in the data space, and are loaded whole for each phase that reads them whole.
        loaded: what lies in the data space and is loaded band by band: inputs of the model, and joined rows.
        gathered: those that are rows of several tensors, one behind another, which are stored there.
        phases: of each operation.
        spilled: weights that lie in the data space in between.
    """

    ops: list[Op]
    inputs: list[Tensor]
    rows: int
    hw: HardwareConfig
    spill: Spill
    whole: Collection[Tensor] = ()
    maker: dict[Tensor, Op] = field(default_factory=dict)
    readers: dict[Tensor, list[Op]] = field(default_factory=dict)
    banded: set[Tensor] = field(default_factory=set)
    joined: set[Tensor] = field(default_factory=set)
    reloaded: set[Tensor] = field(default_factory=set)
    loaded: set[Tensor] = field(default_factory=set)
    gathered: set[Tensor] = field(default_factory=set)
    phases: dict[Op, int] = field(default_factory=dict)
    spilled: set[Tensor] = field(default_factory=set)
    _spans: dict[int, list[Span]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Choose."""
        for op in self.ops:
            self.maker[op.output] = op
            for t in op.inputs:
                self.readers.setdefault(t, []).append(op)
        self._choose()
        for op in self.ops:
            self.phases[op] = self._phase(op)
        self._spill_weights()

    def _choose(self) -> None:
        """Which tensors are banded: all makers of a root can be cut, and no one needs a part of it whole."""
        families: dict[Tensor, list[Op]] = {}
        for op in self.ops:
            families.setdefault(op.output.root, []).append(op)
        self.banded = {root for root, makers in families.items() if all(self._can_cut(op) for op in makers)}
        while wrong := [root for root in self.banded if self._needed_whole(root, families[root])]:
            self.banded.difference_update(wrong)
        if self.spill:
            self.gathered = {op.output for op in self.ops if self._can_gather(op) and self._is_loaded(op.output)}
        self.joined = {root for root in self.banded if not self._in_parts(root)}
        if self.spill is Spill.ALL:
            self.reloaded = {root for root in self.joined if self._can_reload(root)}
            self.joined -= self.reloaded
        plain = [t for t in self.inputs if t.home in (Home.MATRIX, Home.DATA) and t not in self.whole]
        self.loaded = {t for t in plain if self._is_loaded(t)}
        self.loaded |= self.gathered

    def _can_gather(self, op: Op) -> bool:
        """Whether it joins rows of which each begins on a line of the data space."""
        parts = joined_rows(op) if isinstance(op, CopyOp) else None
        return parts is not None and all(first * self.hw.act_word_bytes % LINE_BYTES == 0 for first, _ in parts)

    def _can_reload(self, root: Tensor) -> bool:
        """Whether it is large, and none of those who read it whole lies in it."""
        whole = [op for op in self._using(root) if not self._takes_parts(op)]
        large = root.row_words(self.hw.block) > self.hw.act_words // _SMALL
        return large and root.home is Home.MATRIX and all(op.output.root is not root for op in whole)

    def _is_loaded(self, tensor: Tensor) -> bool:
        """Whether all that read a tensor of the data space take bands of it."""
        long = tensor.h == 1 and tensor.w > self.rows and tensor in self.readers
        return long and all(self._loads(tensor, op) for op in self._using(tensor))

    def _loads(self, tensor: Tensor, op: Op) -> bool:
        """Whether a reader of a model's input, or all of a choice of its channels, takes bands."""
        if chooses(op):
            return all(self._loads(tensor, reader) for reader in self._using(op.output))
        return self._takes_parts(op) and tensor.w == self.width(op)

    def _needed_whole(self, root: Tensor, makers: list[Op]) -> bool:
        """Whether a part of it, or it with its items, is needed whole, or a Concat of it has something else in it."""
        concats = [op for op in makers if isinstance(op, ConcatOp)]
        if any(t.parent is not op.output or t not in self.maker for op in concats for t in op.inputs):
            return True
        return any(not self._in_parts(op.output) for op in makers if op.output is not root or root.with_items)

    def _in_parts(self, tensor: Tensor) -> bool:
        """Whether all who read it take it in bands."""
        return all(self._takes_parts(op) for op in self._using(tensor))

    def _using(self, tensor: Tensor) -> list[Op]:
        return self.readers.get(tensor, [])

    def _can_cut(self, op: Op) -> bool:
        made_here = op.output.root in self.maker
        return made_here and op.by_pixels and op.output.h == 1 and op.output.w > self.rows

    def _takes_parts(self, op: Op) -> bool:
        """Whether an operation can take a banded input in bands."""
        if isinstance(op, (ToWeightsOp, TransposeOp)) and self._takes_all_heads(op):
            return False
        if isinstance(op, TransposeOp):
            return all(isinstance(reader, ToWeightsOp) for reader in self._using(op.output))
        return isinstance(op, ToWeightsOp) or op.output in self.gathered or self.is_cut(op)

    def _takes_all_heads(self, op: ToWeightsOp | TransposeOp) -> bool:
        """Whether it copies all heads at once, which few keys have."""
        turned = op if isinstance(op, TransposeOp) else self.maker.get(op.inputs[0])
        if isinstance(turned, TransposeOp) and turned.positions is not None:
            return True
        return isinstance(op, ToWeightsOp) and bool(op.heads)

    def is_cut(self, op: Op) -> bool:
        """Whether it becomes an operation for each band."""
        if isinstance(op, (ToWeightsOp, TransposeOp)):
            return not self._takes_all_heads(op) and self.is_banded(self.source(op))
        return op.output.root in self.banded or (chooses(op) and op.output.root in self.loaded)

    def is_banded(self, tensor: Tensor) -> bool:
        """Whether it is made, or loaded, band by band."""
        return tensor.root in self.banded or tensor.root in self.loaded

    def source(self, op: Op) -> Tensor:
        """What weights are made of, in front of a transpose."""
        x = op.inputs[0]
        made = self.maker.get(x)
        return made.inputs[0] if isinstance(made, TransposeOp) and isinstance(op, ToWeightsOp) else x

    def width(self, op: Op) -> int:
        """The pixels that its bands are of."""
        return self.source(op).w if isinstance(op, (ToWeightsOp, TransposeOp)) else op.output.w

    @property
    def least_words(self) -> int:
        """What a band's operation needs of the activation scratchpad at least, in whatever order all of them run."""
        return max((self._words(op) for op in self.ops if self.is_cut(op)), default=0)

    def _words(self, op: Op) -> int:
        """Of its bands, and of what is read beside them in the same way."""
        block, width = self.hw.block, self.width(op)
        here = [t for t in (*op.inputs, op.output) if t.home is Home.MATRIX or t in self.loaded]
        bands = {t for t in here if t.h == 1 and t.w == width}
        return sum(t.blocks(block) * t.planes * min(self.rows, width) for t in bands)

    def spans(self, w: int) -> list[Span]:
        """Bands of so many pixels."""
        if w not in self._spans:
            self._spans[w] = [(x, min(x + self.rows, w)) for x in range(0, w, self.rows)]
        return self._spans[w]

    def _phase(self, op: Op) -> int:
        found = 0
        for t in op.inputs:
            made = self.maker.get(t)
            if made is None:
                continue
            whole = t.home is Home.WEIGHTS and self.is_cut(made)
            whole = whole or (self.is_banded(t) and not self.is_cut(op))
            found = max(found, self.phases[made] + whole)
        return found

    def _spill_weights(self) -> None:
        """Weights whose phase needs more of them than half of what there is for computed ones; with `ALL` every one."""
        phases: dict[int, dict[Tensor, None]] = {}
        for op in self.ops:
            for t in op.inputs:
                if t.home is Home.WEIGHTS and self.is_cut(self.maker[t]):
                    phases.setdefault(self.phases[op], {})[t] = None
        for tensors in phases.values():
            words = sum(t.row_words(self.hw.block) for t in tensors)
            if self.spill is Spill.ALL or words > self.hw.weight_words // 4:
                self.spilled |= tensors.keys()
