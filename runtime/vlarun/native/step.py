"""A step of the library: its structure, what that points to, and when order inside a packet does not matter.

Not here: how packets become steps (`steps.py`).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlarun import memory
from vlarun.memory import Machine
from vlarun.native.binding import Matrix, Region

__all__ = ["Kind", "NativeStep", "disjoint", "fits", "matrix_of", "region_of", "within"]


class Kind(IntEnum):
    """The kinds of steps that `vla_run` knows, in its order."""

    CONV = 0
    COPY = 1
    VEC = 2
    POOL = 3
    GEMM = 4
    ROW = 5
    REDUCE = 6
    RECIP = 7
    GATHER = 8


@dataclass
class NativeStep:
    """A step of the library, and what it points to.

    Attributes:
        kind: which.
        what: the structure.
        scratch: bytes that it needs per input; `padded` is what they hold, where a next step may want the same.
    """

    kind: Kind
    what: ctypes.Structure
    scratch: int = 0
    padded: tuple[Any, ...] = ()
    arrays: list[Any] = field(default_factory=list)

    def reads(self, written: NDArray[np.int64]) -> bool:
        """Whether one of these spans of bytes [n, 2] may meet its input."""
        source = self.padded[0]
        return bool(((written[:, 0] < source.end()) & (written[:, 1] > source.base)).any())

    def pointer(self, array: NDArray[Any]) -> int:
        """The address of an array, which is kept as long as the step."""
        array = np.ascontiguousarray(array)
        self.arrays.append(array)
        return int(array.ctypes.data)

    def copy(self) -> NativeStep:
        """A step that shares the arrays."""
        what = type(self.what).from_buffer_copy(self.what)
        return NativeStep(self.kind, what, self.scratch, self.padded, self.arrays)


def region_of(region: memory.Region) -> Region:
    """A region as the library takes it."""
    _, row_stride, pitch = region.strides
    return Region(region.base, row_stride, pitch, region.ring, region.slot)


def matrix_of(region: memory.Region) -> Matrix:
    """A matrix operand as the library takes it."""
    return Matrix(region.base, *region.strides)


def within(machine: Machine, *regions: memory.Region) -> bool:
    """Whether no region wraps at the end of the activation scratchpad."""
    return all(r.end() <= machine.act.size for r in regions)


def disjoint(a: memory.Region, b: memory.Region) -> bool:
    """Whether no byte lies between the first and the last byte of both."""
    return a.end() <= b.base or b.end() <= a.base


def fits(machine: Machine, out: memory.Region, *inputs: memory.Region, same: bool) -> bool:
    """Whether order does not matter: nothing wraps, `out` meets itself and `inputs` nowhere, or is one (`same`)."""
    if not within(machine, out, *inputs) or out.overlaps_itself():
        return False
    return all((same and r == out) or disjoint(r, out) for r in inputs)
