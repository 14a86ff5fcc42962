"""Attentions over many keys, some queries at a time: the logits of one part are made beside the exponents of another.

Few queries of many keys (a policy's actions over the tokens of its cameras) have logits for which there is no room
twice. The parts of a head read the same keys and values. Each query is still computed by itself: no byte changes.
Not here: sequences in bands, whose keys every band reads anew (`rows.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vla_isa.hardware import HardwareConfig
from vlac.device.bands import JoinOp, PixelSlice
from vlac.device.product import LogitsOp, MixOp
from vlac.ir.cut import Span
from vlac.ir.operation import Home, Op, Tensor

__all__ = ["in_query_parts"]

_SHARE = 5  # of the activation scratchpad, one such part for the logits of some queries


@dataclass(frozen=True)
class _Head:
    """What makes logits, exponents and records, and the mix."""

    front: tuple[Op, Op, Op]
    mix: MixOp


def in_query_parts(ops: Sequence[Op], returned: Collection[Tensor], rows: int, hw: HardwareConfig) -> list[Op]:
    """The operations with the heads in parts whose logits take more than their share; none of more than `rows` queries.

    Args:
        ops: of a placed graph, which stay as they are.
        returned: tensors that are needed whole.
        rows: pixels of a band; what has more is cut in bands.
        hw: the machine.
    """
    maker = {op.output: op for op in ops}
    found = [_head(op, maker) for op in ops if isinstance(op, MixOp) and op.output.w <= rows]
    heads = [h for h in found if h is not None and not any(op.output in returned for op in h.front)]
    cut = {h.front[0]: h for h in heads if len(_spans(h, hw)) > 1}
    whole = {h.mix for h in cut.values()}
    gone = {op for h in cut.values() for op in h.front[1:]}
    waiting: list[tuple[MixOp, list[Op]]] = []  # what follows the records of a part, and the mix that it is of
    out: list[Op] = []
    for op in ops:
        if op in cut:
            mix = cut[op].mix
            parts = [_Part(cut[op], span) for span in _spans(cut[op], hw)]
            for part in parts:
                out += part.front()
                out += waiting.pop(0)[1] if waiting else []
                waiting.append((mix, [part.mix()]))
            waiting[-1][1].append(JoinOp(mix.node, "Concat", [p.mixed for p in parts], mix.output))
        elif isinstance(op, MixOp) and op in whole:
            out += [made for mix, some in waiting if mix is op for made in some]
            waiting = [(mix, some) for mix, some in waiting if mix is not op]
        elif op not in gone:
            out.append(op)
    return out


def _head(mix: MixOp, maker: Mapping[Tensor, Op]) -> _Head | None:
    """The chain of a mix; None of exponents of more than one byte, and of several heads."""
    exponents, records = maker[mix.inputs[0]], maker[mix.inputs[2]]
    logits = maker.get(exponents.inputs[0])
    plain = isinstance(logits, LogitsOp) and records.inputs == [exponents.output] and mix.output.planes == 1
    plain = plain and mix.by_pixels
    return _Head((logits, exponents, records), mix) if logits is not None and plain else None


def _spans(head: _Head, hw: HardwareConfig) -> list[Span]:
    """Queries of whole strips, of parts that are about equally many."""
    logits = head.front[0].output
    words, w = logits.blocks(hw.block) * logits.planes, logits.w
    most = max(hw.act_words // _SHARE // words, hw.pixels)
    size = -(-w // (-(-w // most) * hw.pixels)) * hw.pixels
    return [(x, min(x + size, w)) for x in range(0, w, size)]


class _Part:
    """Some queries of a head."""

    def __init__(self, head: _Head, span: Span) -> None:
        self.head, self.span = head, span
        self.logits, self.exponents, self.records = (self._of(op.output) for op in head.front)
        self.mixed = self._inside(head.mix.output)

    def front(self) -> list[Op]:
        """Operations up to the records."""
        made: list[Op] = []
        inputs: list[Tensor] = []
        logits, exponents, records = self.head.front
        for t in logits.inputs:
            own = t.home is Home.MATRIX and t.w == logits.output.w
            inputs.append(self._inside(t) if own else t)
            made += [PixelSlice(t.label, "Slice", [t], inputs[-1])] if own else []
        first = self.span[0]
        return [
            *made,
            logits.of_pixels(first, inputs, self.logits),
            exponents.of_pixels(first, [self.logits], self.exponents),
            records.of_pixels(first, [self.exponents], self.records),
        ]

    def mix(self) -> Op:
        """The mix of the part."""
        inputs = [self.exponents, self.head.mix.inputs[1], self.records]
        return self.head.mix.of_pixels(self.span[0], inputs, self.mixed)

    def _of(self, t: Tensor) -> Tensor:
        """The part's pixels of a tensor, not yet anywhere."""
        a, b = self.span
        shape = (b - a, t.c) if t.home is Home.ITEMS else (1, b - a, t.c)
        out = t.like(f"{t.name}:queries{a}", label=f"{t.label}:queries{a}", shape=shape)
        out.home, out.with_items, out.channel_map = t.home, t.with_items, t.channel_map
        return out

    def _inside(self, t: Tensor) -> Tensor:
        """The part's pixels where they lie in a tensor."""
        out = self._of(t)
        out.parent, out.pixel = t, self.span[0]
        return out
