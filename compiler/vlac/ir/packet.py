"""Packets while their addresses are still open, and where operands lie on chip.

Not here: fields of an instruction (`vla_isa`), which packets an operation is (`device/`), when they run (`emit/`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = ["Choice", "Region", "RelocatablePacket", "matrix_fields", "operand_fields", "size_fields"]


@dataclass(frozen=True)
class Region:
    """A tensor on chip: word of slot 0, words between rows and between byte planes, rows it holds; planes of a block.

    `items` is the word of the first item behind it. Of a row vector, and of weights, only `base` says anything.
    """

    base: int
    row_stride: int
    pitch: int
    ring: int
    planes: int = 1
    items: int = 0

    def pixel(self, number: int, *, item_words: int = 0) -> Region:
        """What it is from a pixel on; items of `item_words`."""
        return replace(self, base=self.base + number, items=self.items + number * item_words)

    def in_groups(self, blocks: int, groups: int) -> Region:
        """What it is where groups of so many channel blocks are its rows; as it is where there is one group."""
        return self if groups == 1 else replace(self, row_stride=blocks * self.planes * self.pitch)

    def block(self, number: int) -> int:
        """Word of the first pixel of a channel block."""
        return self.base + number * self.planes * self.pitch


@dataclass(eq=False)
class Choice:
    """Which of `count` experts' weights and parameters a packet uses: of the number that a SET, `selector`, takes.

    `weight_step` and `param_step` are the words from one expert's to the next's.
    """

    selector: RelocatablePacket
    count: int
    weight_step: int
    param_step: int


@dataclass
class RelocatablePacket:
    """One packet before its weights and parameters have addresses: instruction, field values, where it comes from.

    Attributes:
        weights: (first word, words) it reads, of its operation's weights; later of the weight space. `weight_base` is
            set when they are placed.
        in_blocks: channel blocks of input, where the mask that it reads also says which weights are loaded for it.
        owner: number of the operation whose parameter words it reads, -1 for none.
        relocations: field name -> parameter word relative to its operation's first.
        choice: whose weights and parameters it uses, where there are several experts'.
        stage: the stage of the plan it belongs to; -1 for loads of weights and parameters.
    """

    name: str
    values: dict[str, int]
    node: str = ""
    op: str = ""
    macs: int = 0
    weights: tuple[int, int] | None = None
    in_blocks: int = 0
    owner: int = -1
    relocations: dict[str, int] = field(default_factory=dict)
    choice: Choice | None = None
    stage: int = -1


def operand_fields(role: str, r: Region, row: int, block: int = 0) -> dict[str, int]:
    """The region fields of an operand whose row 0 is row `row` of its tensor, from channel block `block` on."""
    return {
        f"{role}_base": r.block(block),
        f"{role}_row_stride": r.row_stride,
        f"{role}_pitch": r.pitch,
        f"{role}_ring": r.ring,
        f"{role}_slot": row % r.ring,
    }


def matrix_fields(
    role: str, r: Region, block: int = 0, *, kind: int | None = None, wide: bool = True
) -> dict[str, int]:
    """The fields of a matrix operand from channel block `block` on; `kind` and the element where it has such fields."""
    values = {f"{role}_base": r.block(block), f"{role}_row_stride": r.row_stride, f"{role}_pitch": r.pitch}
    if kind is not None:
        values[f"{role}_kind"] = kind
    if wide:
        values[f"{role}_bytes"] = r.planes - 1
    return values


def size_fields(role: str, h: int, w: int, blocks: int) -> dict[str, int]:
    """The size fields of an operand."""
    return {f"{role}_h": h, f"{role}_w": w, f"{role}_blocks": blocks}
