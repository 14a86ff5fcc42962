"""A whole attention by hand-assembled packets equals the same by matrices, on `sim` and by the instructions' meaning.

Three query heads share keys and values (heads are rows of one GEMM); keys are no multiple of a channel block, the new
ones are appended at a pixel that is none either; causal limits; the padding holds garbage. The numbers of the matrices
are worked out in float64 on the same integers, where every product below is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_isa import hardware, hazards, numerics
from vla_isa.encoding import make_packet
from vla_isa.generated import codes
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import ErrorCode
from vla_isa.integer import INT8
from vla_isa.packet import Packet
from vla_isa.program import Program
from vla_isa.validate import validate
from vlarun.backends import SimBackend, run_once
from vlarun.conformance import reference
from vlarun.conformance.programs import Builder, copy_packet

I64 = NDArray[np.int64]
HEADS, NEW, PREFIX, DIM = 3, 21, 20, 24
SCALES = {"q": 0.02, "k": 0.02, "v": 0.03, "out": 0.0301}


def float_requantized(acc: I64, mult: I64 | int, shift: I64 | int) -> NDArray[np.float64]:
    """acc * mult * 2^-shift rounded to nearest even, exact below 2^53."""
    return np.rint(np.asarray(acc, np.float64) * mult * np.exp2(-np.asarray(shift, np.float64)))


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

    def expected(self, records: tuple[I64, I64]) -> tuple[I64, I64]:
        """(sums, output) by matrices, with the machine's records of the sums [heads, pixels]."""
        valid = np.arange(self.keys) < (self.limit + np.arange(NEW))[:, None]
        logits = np.clip(float_requantized(self.q @ self.k.T, *self.logit_scale), -32767, 32767)
        best = np.where(valid, logits, -32768).max(axis=-1, keepdims=True)
        a_mult, shift, table = self.exponents
        index = np.clip(float_requantized((logits - best).astype(np.int64), a_mult, shift) + 127, -128, 127)
        e = np.where(valid, table[index.astype(np.int64) + 128], 0).astype(np.int64)
        mult, places = (r[..., None] for r in records)
        return e.sum(axis=-1), np.clip(float_requantized(e @ self.v, mult, places), -128, 127).astype(np.int64)

    def read(self, act: NDArray[np.int8], name: str) -> NDArray[np.int8]:
        """The output [heads, pixels, dim], or items [heads * pixels, 16]."""
        if name != "out":
            return act.reshape(-1)[self.bases[name] * self.hw.block :][: HEADS * NEW * 16].reshape(-1, 16)
        rows = act[self.bases["out"] :][: HEADS * self.dim_blocks * 24].reshape(HEADS, self.dim_blocks, 24, -1)
        return rows[:, :, :NEW].transpose(0, 2, 1, 3).reshape(HEADS, NEW, -1)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_attention_equals_matrices(config: str) -> None:
    attention = Attention(hardware.load(config))
    program = attention.program()
    hazards.check(program)
    validate(program)
    result = run_once(SimBackend(), program, {})
    assert result.status is ErrorCode.OK
    assert np.array_equal(reference.run(program).act, result.memories["act"])
    act = result.memories["act"]
    data = attention.read(act, "records").view(np.uint8).astype(np.int64)
    mult, shift = data[:, 4] | data[:, 5] << 8 | data[:, 6] << 16, data[:, 7]
    sums, out = attention.expected((mult.reshape(HEADS, NEW), shift.reshape(HEADS, NEW)))
    assert np.array_equal(attention.read(act, "sums")[:, :8].copy().view("<i8").reshape(HEADS, NEW), sums)
    k = attention.out_scale[0] * 2.0 ** -attention.out_scale[1]
    assert np.abs(mult * np.exp2(-shift.astype(np.float64)) * sums.reshape(-1) / k - 1).max() < 2.1e-7
    assert np.array_equal(attention.read(act, "out"), out)
    assert not out[..., DIM:].any() and len(np.unique(out)) > 100
    assert signal_to_noise(attention, out) > 30


def signal_to_noise(a: Attention, out: I64) -> float:
    """Of the output beside a softmax in floats, in dB."""
    valid = np.arange(a.keys) < (a.limit + np.arange(NEW))[:, None]
    logits = (a.q @ a.k.T) * SCALES["q"] * SCALES["k"] * DIM**-0.5
    p = np.where(valid, np.exp(logits), 0)
    exact = (p / p.sum(axis=-1, keepdims=True)) @ a.v * SCALES["v"]
    return float(10 * np.log10((exact**2).sum() / ((out * SCALES["out"] - exact) ** 2).sum()))


def test_a_fully_masked_row_gives_zeros() -> None:
    """No key is valid: the maximum is -32768, every exponent 0, the record 0, the output 0."""
    attention = Attention(hardware.load("u50"), limit=0)
    act = run_once(SimBackend(), attention.program(), {}).memories["act"]
    first = [h * NEW for h in range(HEADS)]  # pixel 0 of each head sees `limit` keys
    assert (attention.read(act, "maxima")[first, :8].copy().view("<i8") == -32768).all()
    assert not attention.read(act, "sums")[first].any() and not attention.read(act, "records")[first].any()
    assert not attention.read(act, "out")[:, 0].any() and attention.read(act, "out")[:, 1].any()
