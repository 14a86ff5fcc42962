"""T1, continued: a whole attention by hand-assembled packets, as a compiler would write it.

Three query heads share keys and values (heads are rows of one GEMM); keys are no multiple of a channel block, the new
ones are appended at a pixel that is none either; causal limits; the padding holds garbage.
Not here: the same by matrices (tests/runtime/test_attention.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.encoding import make_packet
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.conformance.programs import Builder, Case, copy_packet

__all__ = ["DIM", "HEADS", "NEW", "PREFIX", "SCALES", "Attention", "cases"]

I64 = NDArray[np.int64]
HEADS, NEW, PREFIX, DIM = 3, 21, 20, 24
SCALES = {"q": 0.02, "k": 0.02, "v": 0.03, "out": 0.0301}


def cases(hw: HardwareConfig) -> Iterator[Case]:
    """With causal limits, and with a first row that sees no key."""
    yield Case("T1.attention.causal", Attention(hw).program())
    yield Case("T1.attention.masked.row", Attention(hw, limit=0).program())


@dataclass
class Attention:
    """Operands, and where they lie in the scratchpad.

    Pitches are those of the real thing: 8 mod 16 where the array reads.
    """

    hw: HardwareConfig
    limit: int = PREFIX + 1  # keys that the first new pixel sees
    keys: int = PREFIX + NEW
    bases: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng, block = np.random.default_rng(0), self.hw.block
        self.padded = -(-DIM // 16) * 16
        self.q = rng.integers(-128, 128, (HEADS, NEW, self.padded))
        self.k, self.v = (rng.integers(-128, 128, (self.keys, self.padded)) for _ in range(2))
        for x in (self.q, self.k, self.v):
            x[..., DIM:] = 0
        self.key_blocks, self.dim_blocks = -(-self.keys // block), self.padded // block
        self.logit_scale = numerics.scale_to_multiplier(SCALES["q"] * SCALES["k"] * DIM**-0.5 * 256)
        self.out_scale = numerics.scale_to_multiplier(SCALES["v"] / SCALES["out"])
        self.exponents = numerics.exponents(2.0**-8)
        sizes = {
            "q": HEADS * self.dim_blocks * 24,
            "k": self.dim_blocks * 56,
            "v": self.dim_blocks * 56,
            "vt": self.key_blocks * self.padded,
            "logits": HEADS * 2 * self.key_blocks * 75,
            "exponents": HEADS * self.key_blocks * 72,
            "maxima": HEADS * NEW * 16 // block,
            "sums": HEADS * NEW * 16 // block,
            "records": HEADS * NEW * 16 // block,
            "out": HEADS * self.dim_blocks * 24,
        }
        at = 0
        for name, size in sizes.items():
            self.bases[name], at = at, at + size
        self.words = at

    def program(self) -> Program:
        """Load, compute, stop."""
        builder = Builder(self.hw)
        self.loads(builder)
        self.packets(builder)
        builder.halt()
        return builder.build()

    def loads(self, b: Builder) -> None:
        """Garbage everywhere, then the operands; the new keys behind the prefix, wherever that ends."""
        garbage = np.random.default_rng(1).integers(-128, 128, (self.words, self.hw.block), np.int8)
        b.load_act(garbage)
        for h in range(HEADS):
            self._load(b, self.bases["q"] + h * self.dim_blocks * 24, 24, self.q[h])
        for name, x in (("k", self.k), ("v", self.v)):
            self._load(b, self.bases[name], 56, x[:PREFIX])
            self._load(b, self.bases[name] + PREFIX, 56, x[PREFIX:])
        table = np.zeros((1, self.hw.param_word_bytes), np.uint8)
        table[0, :8] = numerics.pack_records(0, *self.logit_scale)
        exponents = self.exponents[2].view(np.uint8).reshape(-1, self.hw.param_word_bytes)
        b.load_param(np.concatenate([table, exponents]))

    def _load(self, b: Builder, base: int, pitch: int, x: I64) -> None:
        for c in range(self.dim_blocks):
            b.load_act(INT8.cast(x[:, c * self.hw.block :][:, : self.hw.block]), base + c * pitch)

    def packets(self, b: Builder) -> None:
        """Keys and values to the weight scratchpad, logits, exponents, reciprocals, output."""
        at, block, values = self.bases, self.hw.block, self.key_blocks * self.dim_blocks
        key_steps = {"n1": self.dim_blocks, "n2": self.key_blocks, "src_stride2": block, "dst_stride2": self.dim_blocks}
        b.add(copy_packet("act_to_weight", src=at["k"], src_stride1=56, dst_stride1=1, **key_steps))
        turned = {"n1": self.key_blocks, "n2": self.dim_blocks, "src_stride1": block, "src_stride2": 56}
        places = {"dst_stride1": self.padded, "dst_stride2": block}
        b.add(copy_packet("act_to_act", src=at["v"], dst=at["vt"], unit=codes.Unit.TRANSPOSE, **turned, **places))
        value_steps = {"n1": self.key_blocks, "n2": self.dim_blocks, "src_stride1": self.padded, "src_stride2": block}
        steps = {"dst_stride1": 1, "dst_stride2": self.key_blocks}
        b.add(copy_packet("act_to_weight", src=at["vt"], dst=values, **value_steps, **steps))
        b.add(self._gemm("q", 24, "logits", 75, self.dim_blocks, self.key_blocks, 0, self._logit_fields()))
        b.add(self._exponents())
        mult, shift = self.out_scale
        b.add(make_packet("RECIP", in_base=at["sums"], n=HEADS * NEW, mult=mult, shift=shift, out_base=at["records"]))
        rows = {"scale_by": codes.ScaleBy.ROW, "row_base": at["records"]}
        b.add(self._gemm("exponents", 72, "out", 24, self.key_blocks, self.dim_blocks, values, rows))

    def _logit_fields(self) -> dict[str, int]:
        limits = {"row_max": 1, "limit": self.limit, "limit_step": 1, "row_base": self.bases["maxima"]}
        return {"scale_by": codes.ScaleBy.TENSOR, "out_bytes": codes.Element.INT16, **limits}

    def _gemm(
        self, source: str, in_pitch: int, to: str, pitch: int, k: int, n: int, weights: int, more: dict[str, int]
    ) -> Packet:
        planes = n * (1 + more.get("out_bytes", 0))
        strides = {"in_row_stride": k * in_pitch, "in_pitch": in_pitch, "out_row_stride": planes * pitch}
        return make_packet(
            "GEMM",
            h=HEADS,
            m=NEW,
            k_blocks=k,
            n_blocks=n,
            in_base=self.bases[source],
            out_base=self.bases[to],
            out_pitch=pitch,
            weight_base=weights,
            lo=-128,
            hi=127,
            **strides,
            **more,
        )

    def _exponents(self) -> Packet:
        a_mult, shift, _ = self.exponents
        return make_packet(
            "ROW",
            h=HEADS,
            m=NEW,
            blocks=self.key_blocks,
            channels=self.keys,
            a_base=self.bases["logits"],
            a_row_stride=2 * self.key_blocks * 75,
            a_pitch=75,
            a_bytes=codes.Element.INT16,
            out_base=self.bases["exponents"],
            out_row_stride=self.key_blocks * 72,
            out_pitch=72,
            row_mode=codes.RowMode.LESS,
            row_base=self.bases["maxima"],
            a_mult=a_mult,
            shift=shift,
            out_zero=127,
            lo=-128,
            hi=127,
            table_mode=codes.RowTable.OUT8,
            table_base=1,
            reduce=codes.RowReduce.SUM,
            reduce_base=self.bases["sums"],
        )
