"""The memories of one machine as numpy arrays, and tensor regions in them.

A `Region` is a strided 4-D block of bytes with one ring dimension: what COPY moves and what CONV, GEMM,
POOL and VEC read and write. Reading gives a copy, writing takes an array of the region's shape.
Not here: what is computed (see `execute/`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_isa import numerics
from vla_isa.generated.codes import TABLE_BYTES
from vla_isa.hardware import LINE_BYTES
from vla_isa.memories import Memories
from vla_isa.packet import Packet
from vla_isa.program import Program
from vlarun.errors import DataSpaceError

__all__ = [
    "Machine",
    "Records",
    "Region",
    "WeightCache",
    "act_region",
    "item_region",
    "load_data",
    "matrix_region",
    "word_dtype",
]

Bytes = NDArray[np.int8]
Wide = NDArray[np.int16]


def word_dtype(block: int) -> np.dtype[np.generic]:
    """A numpy type as large as an activation word, so that a word moves as one element."""
    return np.dtype(np.uint64) if block == 8 else np.dtype(np.complex128)


@dataclass(frozen=True)
class Region:
    """A strided block of bytes: counts (outer, rows, blocks), each of `inner` contiguous bytes.

    `base`, `strides` (outer, row, block) and `inner` are in bytes. Row y lies in slot
    (slot + y) mod ring; ring 0 means no ring.
    """

    base: int
    counts: tuple[int, int, int]
    strides: tuple[int, int, int]
    inner: int
    ring: int = 0
    slot: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(outer, rows, blocks, inner bytes)."""
        return (*self.counts, self.inner)

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Runs of rows without a ring's wrap: (first row, rows, first slot)."""
        rows = self.counts[1]
        if self.ring == 0:
            yield 0, rows, 0
            return
        row, slot = 0, self.slot
        while row < rows:
            n = min(rows - row, self.ring - slot)
            yield row, n, slot
            row, slot = row + n, 0

    def end(self) -> int:
        """One past the highest byte offset, before any wrap."""
        outer, _, blocks = self.counts
        last_slot = max((slot + n - 1 for _, n, slot in self.runs()), default=0)
        s3, s2, s1 = self.strides
        return self.base + (outer - 1) * s3 + last_slot * s2 + (blocks - 1) * s1 + self.inner

    def addresses(self) -> NDArray[np.int64]:
        """Byte offset of every byte, int64 [outer, rows, blocks, inner], before any wrap."""
        outer, rows, blocks, inner = (np.arange(n, dtype=np.int64) for n in self.shape)
        slots = (self.slot + rows) % self.ring if self.ring else rows
        s3, s2, s1 = self.strides
        return self.base + outer[:, None, None, None] * s3 + slots[:, None, None] * s2 + blocks[:, None] * s1 + inner

    def read(self, memory: Bytes) -> Bytes:
        """A copy of the region, int8 [outer, rows, blocks, inner]; offsets wrap at the memory's end."""
        if self.end() > memory.size:
            return memory[self.addresses() % memory.size]
        out = np.empty(self.shape, np.int8)
        for row, n, slot in self.runs():
            out[:, row : row + n] = self._view(memory, n, slot)
        return out

    def write(self, memory: Bytes, values: Bytes) -> None:
        """Write values of the region's shape; offsets wrap at the memory's end, the last of two writes stays."""
        if self.end() > memory.size or self.overlaps_itself():
            memory[(self.addresses() % memory.size).reshape(-1)] = values.reshape(-1)
            return
        for row, n, slot in self.runs():
            self._view(memory, n, slot)[...] = values[:, row : row + n]

    def _view(self, memory: Bytes, rows: int, slot: int) -> Bytes:
        outer, _, blocks = self.counts
        s3, s2, s1 = self.strides
        return np.ndarray(
            (outer, rows, blocks, self.inner),
            np.int8,
            buffer=memory,
            offset=self.base + slot * s2,
            strides=(s3, s2, s1, 1),
        )

    def overlaps_itself(self) -> bool:
        """False where sorted strides prove that no byte is written twice; order then does not matter."""
        reach = self.inner
        rows = max((slot + n for _, n, slot in self.runs()), default=0)
        for stride, count in sorted(zip(self.strides, (self.counts[0], rows, self.counts[2]), strict=True)):
            if count > 1:
                if stride < reach:
                    return True
                reach += stride * (count - 1)
        return False


def act_region(packet: Packet, prefix: str, block: int, *, rows: int, width: int, blocks: int) -> Region:
    """The tensor region `prefix` (in, out, res, a, b) of a packet in the activation scratchpad."""
    return Region(
        base=packet[f"{prefix}_base"] * block,
        counts=(1, rows, blocks),
        strides=(0, packet[f"{prefix}_row_stride"] * block, packet[f"{prefix}_pitch"] * block),
        inner=width * block,
        ring=packet[f"{prefix}_ring"],
        slot=packet[f"{prefix}_slot"],
    )


def matrix_region(packet: Packet, prefix: str, size: tuple[int, int, int, int], planes: int, block: int) -> Region:
    """A matrix operand: batches are outer, byte planes of channel blocks are blocks."""
    batch, h, blocks, m = size
    step = packet.values.get(f"{prefix}_batch_stride", 0)
    strides = (step * block, packet[f"{prefix}_row_stride"] * block, packet[f"{prefix}_pitch"] * block)
    return Region(packet[f"{prefix}_base"] * block, (batch, h, blocks * planes), strides, m * block)


def item_region(base: int, count: int, batch: int, stride: int, block: int) -> Region:
    """Row vectors of `count` items from word `base` on, of each batch `stride` words on."""
    return Region(base * block, (1, batch, 1), (0, stride * block, 0), count * numerics.ITEM_BYTES)


class Records(NamedTuple):
    """Requantization records, by part; int64 arrays of one shape."""

    bias: NDArray[np.int64]
    mult: NDArray[np.int64]
    shift: NDArray[np.int64]


class WeightCache:
    """Weights already rearranged for the matrix product, kept between runs of one program.

    An entry is used only while the weight words it was made from are byte for byte the same.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[object, Bytes, Bytes]] = {}

    def find(self, address: int, key: object, words: Bytes) -> Bytes | None:
        """The matrix prepared for the packet at `address` from equal `words`, or None."""
        entry = self._entries.get(address)
        if entry is None or entry[0] != key or not np.array_equal(entry[1], words):
            return None
        return entry[2]

    def keep(self, address: int, key: object, words: Bytes, matrix: Bytes) -> None:
        """Remember `matrix`, made from `words`, for the packet at `address`."""
        self._entries[address] = (key, words.copy(), matrix)


@dataclass
class Machine(Memories):
    """A machine's memories with the numpy executors' ways into them.

    Attributes:
        weight_cache: rearranged weights, shared between runs.
        address: data-space byte address of the packet that runs.
    """

    weight_cache: WeightCache = field(default_factory=WeightCache)
    address: int = 0

    def read_act(self, region: Region) -> Bytes:
        """Read a region of the activation scratchpad as int8 [rows, blocks, pixels, B]."""
        _, rows, blocks, inner = region.shape
        return region.read(self.act.reshape(-1)).reshape(rows, blocks, inner // self.hw.block, self.hw.block)

    def write_act(self, region: Region, values: Bytes) -> None:
        """Write int8 [rows, blocks, pixels, B] to a region of the activation scratchpad."""
        region.write(self.act.reshape(-1), values.reshape(region.shape))

    def read_matrix(self, packet: Packet, prefix: str, size: tuple[int, int, int, int], *, wide: bool) -> Bytes | Wide:
        """A matrix operand of `size` (batch, h, blocks, m), int8 or int16 [batch, h, blocks, m, B]."""
        block, planes = self.hw.block, 2 if wide else 1
        read = matrix_region(packet, prefix, size, planes, block).read(self.act.reshape(-1))
        values = read.reshape(*size[:3], planes, size[3], block)
        if not wide:
            return values[:, :, :, 0]
        return np.ascontiguousarray(values.transpose(0, 1, 2, 4, 5, 3)).view("<i2")[..., 0]

    def write_matrix(self, packet: Packet, prefix: str, values: Bytes | Wide) -> None:
        """Write what `read_matrix` reads."""
        planes = values.dtype.itemsize
        batch, h, blocks, m, block = values.shape
        split = np.ascontiguousarray(values).view(np.int8).reshape(batch, h, blocks, m, block, planes)
        region = matrix_region(packet, prefix, (batch, h, blocks, m), planes, block)
        region.write(self.act.reshape(-1), split.transpose(0, 1, 2, 5, 3, 4).reshape(region.shape))

    def read_items(self, base: int, count: int, batch: int = 1, stride: int = 0) -> Bytes:
        """Items of row vectors from word `base` on, int8 [batch, count, 16]; `stride` words between batches."""
        region = item_region(base, count, batch, stride, self.hw.block)
        return region.read(self.act.reshape(-1)).reshape(batch, count, -1)

    def write_items(self, base: int, items: Bytes, stride: int = 0) -> None:
        """Write int8 [batch, count, 16]; see `read_items`."""
        region = item_region(base, items.shape[1], items.shape[0], stride, self.hw.block)
        region.write(self.act.reshape(-1), items.reshape(region.shape))

    def item_at(self, base: int) -> int:
        """The value of the item at word `base`."""
        return int(numerics.unpack_items(self.read_items(base, 1))[0][0, 0])

    def weights_at(self, base: int, count: int) -> Bytes:
        """`count` words of the weight scratchpad from `base`, int8 [count, B*B]; wraps at the end."""
        if base + count <= self.hw.weight_words:
            return self.weight[base : base + count]
        return self.weight[(base + np.arange(count)) % self.hw.weight_words]

    def params_at(self, base: int, count: int) -> NDArray[np.uint8]:
        """`count` words of the parameter memory from `base`, uint8 [count, 8*B]; wraps at the end."""
        return self.param[(base + np.arange(count)) % self.hw.param_words]

    def records_at(self, base: int, words: int) -> Records:
        """The records in `words` parameter words, each part int64 [words * B]."""
        return Records(*numerics.unpack_records(self.params_at(base, words).reshape(-1, numerics.RECORD_BYTES)))

    def table_at(self, base: int, size: int = TABLE_BYTES) -> Bytes:
        """The table that starts at parameter word `base`, int8 [size]."""
        words = -(-size // self.hw.param_word_bytes)
        return self.params_at(base, words).reshape(-1)[:size].view(np.int8)

    def mask_at(self, base: int, out_blocks: int, in_blocks: int) -> NDArray[np.bool_]:
        """Mask bits, bool [out_blocks, in_blocks]; a bit past the end of its parameter word is zero."""
        bits = np.unpackbits(self.params_at(base, out_blocks), axis=1, bitorder="little")[:, :in_blocks]
        mask = np.zeros((out_blocks, in_blocks), np.bool_)
        mask[:, : bits.shape[1]] = bits
        return mask

    def require(self, region: Region, memory: Bytes, space: str) -> None:
        """Refuse a region that leaves the data space or the weight space.

        Raises:
            DataSpaceError: with the first byte past the end.
        """
        if region.end() > memory.size:
            raise DataSpaceError(
                f"the packet at 0x{self.address:x} reaches byte {region.end()} of the {space}, which has {memory.size}"
            )


def load_data(program: Program) -> Bytes:
    """The data space before a run, int8 [data_bytes]: heaps and constants in place, zero elsewhere."""
    size = -(-program.data_bytes // LINE_BYTES) * LINE_BYTES
    data = np.zeros(size, np.int8)
    for segment in (*program.heaps, *program.constants):
        start = segment.line * LINE_BYTES
        data[start : start + len(segment.data)] = np.frombuffer(segment.data, np.int8)
    return data
