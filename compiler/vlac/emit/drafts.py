"""A packet before its weights and parameters have addresses, and the COPYs between data space and regions."""

from __future__ import annotations

from dataclasses import dataclass, field

from vla_isa.generated.codes import Move
from vlac.allocate.data_space import DataRegion
from vlac.allocate.regions import Region

__all__ = ["Draft", "load_rows", "store_rows"]


@dataclass
class Draft:
    """One packet: instruction, field values, and where it comes from.

    Attributes:
        weights: (first word in the weight space, words) it reads; `weight_base` is set when they are placed.
        owner: number of the operation whose parameter words it reads, -1 for none.
        params: field name -> parameter word relative to its operation's first.
        stage: the stage of the plan it belongs to; -1 for loads of weights and parameters.
    """

    name: str
    values: dict[str, int]
    node: str = ""
    op: str = ""
    macs: int = 0
    weights: tuple[int, int] | None = None
    owner: int = -1
    params: dict[str, int] = field(default_factory=dict)
    stage: int = -1


def load_rows(source: DataRegion, region: Region, rows: tuple[int, int], node: str) -> Draft:
    """Rows [a, b) from the data space to the scratchpad."""
    a, b = rows
    values = {
        "move": Move.DATA_TO_ACT,
        "src": source.line + a * source.row_stride,
        "dst": region.base,
        "n0": source.w,
        "n1": source.blocks,
        "n2": b - a,
        "n3": 1,
        "src_stride1": source.block_stride,
        "src_stride2": source.row_stride,
        "dst_stride1": region.pitch,
        "dst_stride2": region.row_stride,
        "dst_ring": region.ring,
        "dst_slot": a % region.ring,
    }
    return Draft("COPY", values, node, "load")


def store_rows(region: Region, target: DataRegion, rows: tuple[int, int], node: str) -> Draft:
    """Rows [a, b) from the scratchpad to the data space."""
    a, b = rows
    values = {
        "move": Move.ACT_TO_DATA,
        "src": region.base,
        "dst": target.line + a * target.row_stride,
        "n0": target.w,
        "n1": target.blocks,
        "n2": b - a,
        "n3": 1,
        "src_stride1": region.pitch,
        "src_stride2": region.row_stride,
        "dst_stride1": target.block_stride,
        "dst_stride2": target.row_stride,
        "src_ring": region.ring,
        "src_slot": a % region.ring,
    }
    return Draft("COPY", values, node, "store")
