"""The COPYs between data space and regions."""

from __future__ import annotations

from vla_isa.generated.codes import Move
from vlac.ir.packet import Region, RelocatablePacket
from vlac.plan.data_space import DataRegion

__all__ = ["load_rows", "store_rows"]


def load_rows(source: DataRegion, region: Region, rows: tuple[int, int], node: str) -> RelocatablePacket:
    """Rows [a, b) from the data space to the scratchpad."""
    a, b = rows
    values = {
        "move": Move.DATA_TO_ACT,
        "src": source.line + a * source.row_stride,
        "dst": region.base,
        "n0": source.w,
        "n1": source.blocks * source.planes,
        "n2": b - a,
        "n3": 1,
        "src_stride1": source.plane_stride,
        "src_stride2": source.row_stride,
        "dst_stride1": region.pitch,
        "dst_stride2": region.row_stride,
        "dst_ring": region.ring,
        "dst_slot": a % region.ring,
    }
    return RelocatablePacket("COPY", values, node, "load")


def store_rows(region: Region, target: DataRegion, rows: tuple[int, int], node: str) -> RelocatablePacket:
    """Rows [a, b) from the scratchpad to the data space."""
    a, b = rows
    values = {
        "move": Move.ACT_TO_DATA,
        "src": region.base,
        "dst": target.line + a * target.row_stride,
        "n0": target.w,
        "n1": target.blocks * target.planes,
        "n2": b - a,
        "n3": 1,
        "src_stride1": region.pitch,
        "src_stride2": region.row_stride,
        "dst_stride1": target.plane_stride,
        "dst_stride2": target.row_stride,
        "src_ring": region.ring,
        "src_slot": a % region.ring,
    }
    return RelocatablePacket("COPY", values, node, "store")
