"""Operands of small packets for conformance: regions, records, tables and masks, drawn from a seeded generator.

The same seed gives the same operands. Regions come from an `Arena`, one after the other, so outputs never overlap
inputs. What packets an instruction makes of them is its `Operands` (`instructions/`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.hardware import HardwareConfig
from vla_isa.integer import INT8

__all__ = [
    "Arena",
    "Operands",
    "RegionUse",
    "Rng",
    "Values",
    "draw_clamps",
    "draw_int8",
    "draw_items",
    "draw_kind",
    "draw_matrix",
    "draw_number",
    "draw_records",
    "draw_region",
    "draw_row_records",
    "draw_table",
    "fill",
]

Rng: TypeAlias = "np.random.Generator"  # in quotes: numpy loads its random numbers only where they are used
Values = dict[str, int]  # of fields by name


@dataclass
class Arena:
    """Hands out words of the on-chip memories; `act` etc. are the next free words."""

    hw: HardwareConfig
    act: int = 0
    weight: int = 0
    params: list[NDArray[np.uint8]] = field(default_factory=list)
    contents: list[tuple[int, NDArray[np.int8]]] = field(default_factory=list)  # of activation words, by the first

    def take_act(self, words: int) -> int:
        """The base of `words` fresh activation words."""
        base, self.act = self.act, self.act + words
        return base

    def take_weight(self, words: int) -> int:
        """The base of `words` fresh weight words."""
        base, self.weight = self.weight, self.weight + words
        return base

    def put_act(self, base: int, data: NDArray[np.int8]) -> None:
        """What words that were taken hold, where random bytes would not do."""
        self.contents.append((base, data.reshape(-1, self.hw.act_word_bytes)))

    def put_params(self, data: NDArray[np.uint8]) -> int:
        """Store bytes from a fresh parameter word on; returns that word."""
        width = self.hw.param_word_bytes
        base = sum(len(p) for p in self.params)
        words = np.zeros((-(-data.size // width), width), np.uint8)
        words.reshape(-1)[: data.size] = data.reshape(-1)
        self.params.append(words)
        return base

    def fits(self) -> bool:
        """Whether everything handed out lies inside the memories."""
        hw = self.hw
        return (
            self.act <= hw.act_words
            and self.weight <= hw.weight_words
            and sum(len(p) for p in self.params) <= hw.param_words
        )


@dataclass(frozen=True)
class RegionUse:
    """What makes a packet use a region at all, two rows of it, and two channel blocks of it."""

    two_blocks: Values
    two_rows: Values = field(default_factory=dict)
    on: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Operands:
    """The small packets of an instruction.

    Attributes:
        draw: the values of a small legal packet, from a generator and an arena; keywords pin a field, or what else
            the function names.
        inputs: address fields of operands that may lie over an earlier packet's output.
        output: the address field of the result.
        regions: the operands of which rows and channel blocks have addresses of their own, by prefix.
        often: how many packets of a random program are of this instruction, relative to the others.
    """

    draw: Callable[..., Values]
    inputs: tuple[str, ...]
    output: str = "out_base"
    regions: Mapping[str, RegionUse] = field(default_factory=dict)
    often: int = 1


def draw_number(rng: Rng, low: int, high: int) -> int:
    """A number from low to high."""
    return int(rng.integers(low, high + 1))


def draw_int8(rng: Rng) -> int:
    """Any value of int8."""
    return draw_number(rng, INT8.lo, INT8.hi)


def fill(rng: Rng, shape: tuple[int, ...], values: str) -> NDArray[np.int8]:
    """int8 contents: "random", "low" (-128), "high" (127), "edges" (both, mixed), or "masked" (-128 and 0, mixed).

    Two planes of "masked" hold the int16 of a masked logit, -32768, in one place of four.
    """
    if values == "masked":
        return rng.choice(np.array([INT8.lo, 0], np.int8), shape)
    if values == "edges":
        return rng.choice(np.array([INT8.lo, INT8.hi], np.int8), shape)
    if values in ("low", "high"):
        return np.full(shape, {"low": INT8.lo, "high": INT8.hi}[values], np.int8)
    return rng.integers(INT8.lo, INT8.hi + 1, shape, dtype=np.int8)


def draw_region(
    rng: Rng,
    arena: Arena,
    name: str,
    rows: int,
    width: int,
    blocks: int,
    *,
    ring: bool | None = None,
    pitch: int | None = None,
) -> dict[str, int]:
    """Fields of a fresh region: base, strides and ring. `ring` True makes the rows wrap where they can."""
    pitch = width + int(rng.integers(0, 4)) if pitch is None else pitch
    row_stride = blocks * pitch + int(rng.integers(0, 3))
    slots, slot = rows + 3, 0
    ring = bool(rng.integers(0, 2)) if ring is None else ring
    if ring:
        slots = rows + int(rng.integers(0, 3))
        slot = slots - max(1, rows // 2)
    used = slots if ring else rows
    base = arena.take_act(used * row_stride + int(rng.integers(0, 5)))
    return {
        f"{name}_base": base,
        f"{name}_row_stride": row_stride,
        f"{name}_pitch": pitch,
        f"{name}_ring": slots,
        f"{name}_slot": slot,
    }


def draw_matrix(rng: Rng, arena: Arena, name: str, size: tuple[int, int, int], *, batch: int = 0) -> dict[str, int]:
    """Fields of a fresh matrix operand of `size` (h, m, byte planes), and of `batch` of them where that is given."""
    h, m, planes = size
    pitch = m + int(rng.integers(0, 4))
    row_stride = planes * pitch + int(rng.integers(0, 3))
    step = h * row_stride + int(rng.integers(0, 3))
    base = arena.take_act(max(batch, 1) * step + int(rng.integers(0, 5)))
    fields = {"base": base, "row_stride": row_stride, "pitch": pitch, **({"batch_stride": step} if batch else {})}
    return {f"{name}_{key}": value for key, value in fields.items()}


def draw_kind(rng: Rng) -> int:
    """None, a tensor or a row (`codes.OperandKind`)."""
    return int(rng.integers(0, 3))


def draw_clamps(rng: Rng) -> dict[str, int]:
    """Rounding, zero point and clamp; full range most of the time."""
    lo, hi = (INT8.lo, INT8.hi) if rng.integers(0, 3) else sorted(int(v) for v in rng.integers(INT8.lo, INT8.hi + 1, 2))
    return {"rounding": int(rng.integers(0, 3)), "out_zero": int(rng.integers(-20, 21)), "lo": lo, "hi": hi}


def draw_records(rng: Rng, count: int, magnitude: float, style: str = "usual") -> NDArray[np.uint8]:
    """`count` records, uint8 [count, 8], that bring sums of about `magnitude` into the int8 range.

    style: "usual", or "extreme": any bias and any shift.
    """
    mult = rng.integers(1 << 23, 1 << 24, count) * (rng.random(count) > 0.05)
    shift = np.clip(24 + np.log2(max(magnitude, 1.0)) - 6 + rng.integers(-2, 3, count), 0, 63).astype(np.int64)
    bias = np.rint(rng.normal(0, magnitude / 2, count)).astype(np.int64)
    if style == "extreme":
        shift = rng.choice(np.array([0, 1, 24, 31, 32, 55, 62, 63]), count)
        bias = rng.choice(np.array([-(1 << 31), -1, 0, 1, (1 << 31) - 1, 12345]), count)
    return numerics.pack_records(bias, mult, shift)


def draw_row_records(rng: Rng, count: int, magnitude: float) -> NDArray[np.int8]:
    """Row records, int8 [count, 16]; one in eight is that of a sum of 0."""
    records = draw_records(rng, count, magnitude)
    records[rng.random(count) < 1 / 8] = 0
    out = np.zeros((count, numerics.ITEM_BYTES), np.int8)
    out[:, : numerics.RECORD_BYTES] = records.view(np.int8)
    return out


def draw_items(rng: Rng, count: int, low: int, high: int) -> NDArray[np.int8]:
    """Items with values from low to high and any second value, int8 [count, 16]."""
    second = rng.integers(-(1 << 31), 1 << 31, count)
    return numerics.pack_items(rng.integers(low, high + 1, count), second)


def draw_table(rng: Rng) -> NDArray[np.uint8]:
    """A 256-byte table."""
    return rng.integers(0, 256, 256, dtype=np.uint8)
