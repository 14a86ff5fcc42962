"""The fields of the COPY packets of a copy: a fill, and a piece as one packet or row by row.

Not here: which parts of channels lie where (`copy_parts`).
"""

from __future__ import annotations

from vla_isa.generated.codes import Move
from vlac.device.copy_parts import Parts
from vlac.ir.cut import Span
from vlac.ir.packet import Region
from vlac.ir.records import Piece, Run

__all__ = ["before", "fill_fields", "piece_fields"]


def fill_fields(parts: Parts, value: int, width: int, band: Span, target: Region) -> dict[str, int]:
    """Every word of a band of output rows becomes `value`."""
    y0, y1 = band
    return {
        "move": Move.FILL_ACT,
        "dst": target.base,
        "n0": width,
        "n1": sum(parts.out_blocks) * target.planes,
        "n2": y1 - y0,
        "n3": 1,
        "pad": value,
        "dst_stride1": target.pitch,
        "dst_stride2": target.row_stride,
        "dst_ring": target.ring,
        "dst_slot": y0 % target.ring,
    }


def piece_fields(
    parts: Parts, piece: Piece, band: Span, target: Region, source: Region, heights: tuple[int, int]
) -> list[dict[str, int]]:
    """The packets of a piece in a band of output rows; `heights` are the rows of output and input."""
    rows = _inside(piece.rows, band)
    if not rows.count:
        return []
    # no row of a side lies beyond the end of its ring, or rows follow each other on both sides
    plain = (target.ring >= heights[0] and source.ring >= heights[1]) or (rows.out_step == rows.in_step == 1)
    lines = [rows] if plain else _one_by_one(rows)
    return [_move(parts, piece, r, target, source) for r in lines]


def before(run: Run, y: int) -> int:
    """How many positions of a run lie before output position y."""
    return min(max(-(-(y - run.out0) // run.out_step), 0), run.count)


def _inside(run: Run, band: Span) -> Run:
    """The positions of a run that lie in a band."""
    first = max(0, -(-(band[0] - run.out0) // run.out_step))
    end = min(run.count, -(-(band[1] - run.out0) // run.out_step))
    step = first * run.out_step, first * run.in_step
    return Run(run.out0 + step[0], run.out_step, run.in0 + step[1], run.in_step, max(end - first, 0))


def _one_by_one(rows: Run) -> list[Run]:
    return [Run(rows.out0 + i * rows.out_step, 1, rows.in0 + i * rows.in_step, 1, 1) for i in range(rows.count)]


def _move(parts: Parts, piece: Piece, rows: Run, target: Region, source: Region) -> dict[str, int]:
    pixels, blocks = piece.pixels, parts.out_blocks[piece.target] * target.planes
    src = source.block(parts.in_starts[piece.source][piece.part]) + pixels.in0
    dst = target.block(parts.out_starts[piece.target]) + pixels.out0
    values = {"move": Move.ACT_TO_ACT, "n2": rows.count}
    if rows.out_step == rows.in_step == 1:
        values |= {"src_ring": source.ring, "src_slot": rows.in0 % source.ring, "src_stride2": source.row_stride}
        values |= {"dst_ring": target.ring, "dst_slot": rows.out0 % target.ring, "dst_stride2": target.row_stride}
    else:
        src, dst = src + rows.in0 * source.row_stride, dst + rows.out0 * target.row_stride
        values |= {"src_stride2": rows.in_step * source.row_stride, "dst_stride2": rows.out_step * target.row_stride}
    if pixels.out_step == pixels.in_step == 1:
        across, deep = (pixels.count, blocks, 1), ((source.pitch, target.pitch), (0, 0))
    else:
        across = (1, pixels.count, blocks)
        deep = ((pixels.in_step, pixels.out_step), (source.pitch, target.pitch))
    values |= {"src": src, "dst": dst, "n0": across[0], "n1": across[1], "n3": across[2]}
    for axis, (a, b) in zip((1, 3), deep, strict=True):
        values |= {f"src_stride{axis}": a, f"dst_stride{axis}": b}
    return values
