"""Integer types of tensors: their range, their numpy type, and the bytes that one value takes.

A value of more than one byte lies as byte planes, the low byte's first (see `layout.py`).
Not here: scales and zero points, which belong to a tensor, and arithmetic (`numerics/`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_isa.errors import EncodingError

__all__ = ["INT8", "INT16", "UINT8", "IntType"]


@dataclass(frozen=True)
class IntType:
    """Integers of `bits` bits (a multiple of 8), signed in two's complement or unsigned."""

    bits: int
    signed: bool

    @property
    def name(self) -> str:
        """As numpy and ONNX write it, for example "int8"."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def lo(self) -> int:
        """The smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """The largest value."""
        return (1 << (self.bits - int(self.signed))) - 1

    @property
    def count(self) -> int:
        """How many values there are."""
        return 1 << self.bits

    @property
    def planes(self) -> int:
        """Bytes of a value, so byte planes of a tensor."""
        return self.bits // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type, little endian."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.planes}")

    @property
    def stored(self) -> IntType:
        """The type of the device's integers: signed, of as many bits."""
        return IntType(self.bits, signed=True)

    def from_stored(self, q: ArrayLike) -> NDArray[Any]:
        """The device's integers as the model's: those of an unsigned type are moved up by half the range."""
        return self._flipped(self.stored.cast(q).view(self.dtype))

    def to_stored(self, q: ArrayLike) -> NDArray[Any]:
        """The model's integers as the device's."""
        return self._flipped(self.cast(q)).view(self.stored.dtype)

    def _flipped(self, q: NDArray[Any]) -> NDArray[Any]:
        """With the highest bit of an unsigned type inverted, which moves it by half the range."""
        return q if self.signed else np.bitwise_xor(q, self.dtype.type(1 << (self.bits - 1)))

    @classmethod
    def named(cls, name: str) -> IntType | None:
        """The type that numpy and ONNX write like that, None where those are no integers."""
        found = re.fullmatch(r"(u?)int(8|16|32|64)", name)
        return None if found is None else cls(int(found[2]), signed=not found[1])

    def values(self) -> NDArray[np.int64]:
        """Every value in ascending order, int64 [count]."""
        return np.arange(self.lo, self.hi + 1, dtype=np.int64)

    def holds(self, x: ArrayLike) -> bool:
        """Whether every value of `x` lies in the range; NaN does not."""
        array = np.asarray(x)
        return not array.size or bool(self.lo <= array.min() and array.max() <= self.hi)

    def clip(self, x: ArrayLike) -> NDArray[Any]:
        """`x`, whole numbers of any type and shape, saturated to the range; of this type."""
        clipped: NDArray[Any] = np.clip(np.asarray(x), self.lo, self.hi).astype(self.dtype)
        return clipped

    def cast(self, x: ArrayLike) -> NDArray[Any]:
        """`x`, whole numbers of any type and shape, as this type, where a bare cast would wrap without a word.

        Raises:
            EncodingError: a value outside the range.
        """
        array = np.asarray(x)
        if array.dtype != self.dtype and not self.holds(array):
            raise EncodingError(
                f"values reach {array.min()}..{array.max()}, outside {self.name}; this is an error of the compiler"
            )
        return array.astype(self.dtype, copy=False)


INT8 = IntType(8, signed=True)
UINT8 = IntType(8, signed=False)
INT16 = IntType(16, signed=True)
