"""One tile of one operation as a packet: field by field, from regions and plans.

A tile is a band of output rows and a chunk of output blocks. Not here: the order of packets (`schedule.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from vla_isa.generated.codes import BKind, MaskEmpty, MaskMode, PoolCount, PoolMode, VecFunction
from vla_isa.hardware import HardwareConfig
from vlac.allocate.regions import Region
from vlac.device.conv import ConvOp
from vlac.device.copy import CopyOp
from vlac.device.gemm import GemmOp
from vlac.device.pool import PoolOp
from vlac.device.vec import VecOp
from vlac.emit.build_copies import copy_drafts
from vlac.emit.drafts import Draft
from vlac.ir.operation import Op, Tensor
from vlac.ir.records import Requant
from vlac.tile.plan import OpPlan, Span

__all__ = ["RegionOf", "build"]

RegionOf = Callable[[Tensor], Region]


def build(p: OpPlan, band: Span, chunk: Span, region: RegionOf, hw: HardwareConfig) -> list[Draft]:
    """The packets of a tile, in order."""
    op = p.op
    if isinstance(op, ConvOp):
        return [_conv(p, op, band, chunk, region, hw)]
    if isinstance(op, GemmOp):
        return [_gemm(p, op, chunk, region, hw)]
    if isinstance(op, PoolOp):
        return _pool(p, op, band, region, hw)
    if isinstance(op, VecOp):
        return [_vec(p, op, band, region, hw)]
    if isinstance(op, CopyOp):
        return copy_drafts(op, band, region(op.output), [region(t) for t in op.inputs])
    return []


def _operand(role: str, r: Region, row: int, block: int = 0) -> dict[str, int]:
    """The region fields of an operand whose row 0 is row `row` of its tensor, from channel block `block` on."""
    return {
        f"{role}_base": r.base + block * r.pitch,
        f"{role}_row_stride": r.row_stride,
        f"{role}_pitch": r.pitch,
        f"{role}_ring": r.ring,
        f"{role}_slot": row % r.ring,
    }


def _size(role: str, h: int, w: int, blocks: int) -> dict[str, int]:
    return {f"{role}_h": h, f"{role}_w": w, f"{role}_blocks": blocks}


def _clamps(requant: Requant) -> dict[str, int]:
    return {
        "rounding": requant.rounding,
        "out_zero": requant.zero_point,
        "lo": requant.lo,
        "hi": requant.hi,
    }


def _table(p: OpPlan, values: dict[str, int], relative: dict[str, int]) -> None:
    assert p.params is not None
    if p.params.table is not None:
        values["table_enable"] = 1
        relative["table_base"] = p.params.table


def _real_channels(op: Op, chunk: Span, block: int) -> int:
    lanes = op.output.lane_map()[chunk[0] * block : chunk[1] * block]
    return int((lanes >= 0).sum())


def _conv(p: OpPlan, op: ConvOp, band: Span, chunk: Span, region: RegionOf, hw: HardwareConfig) -> Draft:
    assert p.weights is not None and p.params is not None
    (y0, y1), (o0, o1) = band, chunk
    x, out = op.inputs[0], op.output
    a, b = op.input_rows(y0, y1)
    diagonal = p.weights.mode == MaskMode.DIAGONAL
    blocks = o1 - o0 if diagonal else x.blocks(hw.block)
    values = {
        **_operand("in", region(x), a, o0 if diagonal else 0),
        **_size("in", b - a, x.w, blocks),
        "in_zero": x.zero_point,
        "kernel_h": op.kernel[0],
        "kernel_w": op.kernel[1],
        "stride_h": op.strides[0],
        "stride_w": op.strides[1],
        "dilation_h": op.dilations[0],
        "dilation_w": op.dilations[1],
        "pad_top": op.pads[0] + a - y0 * op.strides[0],
        "pad_left": op.pads[1],
        **_operand("out", region(out), y0, o0),
        **_size("out", y1 - y0, out.w, o1 - o0),
        "mask_mode": p.weights.mode,
        "mask_empty": MaskEmpty.BIAS,
        **_clamps(op.requant),
    }
    relative = {"param_base": p.params.records[p.chunks.index(chunk)]}
    _table(p, values, relative)
    if p.weights.mode == MaskMode.MASK:
        assert p.params.mask is not None
        relative["mask_base"] = p.params.mask + o0
    if op.residual is not None:
        values |= {"residual_enable": 1, **_operand("res", region(op.inputs[1]), y0, o0)}
    starts = p.weights.starts
    macs = (y1 - y0) * out.w * _real_channels(op, chunk, hw.block) * op.macs
    return Draft(
        "CONV", values, op.node, op.op_type, macs, (int(starts[o0]), int(starts[o1] - starts[o0])), params=relative
    )


def _gemm(p: OpPlan, op: GemmOp, chunk: Span, region: RegionOf, hw: HardwareConfig) -> Draft:
    assert p.weights is not None and p.params is not None
    o0, o1 = chunk
    x, out = op.inputs[0], op.output
    source, target = region(x), region(out)
    values = {
        "batch": 1,
        "m": x.w,
        "k_blocks": x.blocks(hw.block),
        "n_blocks": o1 - o0,
        "in_base": source.base,
        "in_pitch": source.pitch,
        "out_base": target.base + o0 * target.pitch,
        "out_pitch": target.pitch,
        **_clamps(op.requant),
    }
    relative = {"param_base": p.params.records[p.chunks.index(chunk)]}
    _table(p, values, relative)
    starts = p.weights.starts
    macs = x.w * _real_channels(op, chunk, hw.block) * op.weight.shape[1]
    return Draft(
        "GEMM", values, op.node, op.op_type, macs, (int(starts[o0]), int(starts[o1] - starts[o0])), params=relative
    )


def _pool(p: OpPlan, op: PoolOp, band: Span, region: RegionOf, hw: HardwareConfig) -> list[Draft]:
    assert p.params is not None
    x, out = op.inputs[0], op.output
    blocks = x.blocks(hw.block)
    drafts = []
    for piece in op.pieces:
        y0, y1 = max(band[0], piece.y0), min(band[1], piece.y1)
        if y0 >= y1:
            continue
        a, b = op.input_rows(y0, y1)
        left = piece.x0 * op.strides[1] - op.pads[1]
        first = max(left, 0)
        values = {
            **_operand("in", region(x), a),
            **_size("in", b - a, x.w - first, blocks),
            "in_zero": x.zero_point,
            "channels": blocks * hw.block,
            "mode": PoolMode[op.mode.upper()],
            "count": PoolCount[op.count.upper()],
            "kernel_h": piece.kernel[0],
            "kernel_w": piece.kernel[1],
            "stride_h": op.strides[0],
            "stride_w": op.strides[1],
            "pad_top": op.pads[0] + a - y0 * op.strides[0],
            "pad_left": first - left,
            **_operand("out", region(out), y0),
            "out_h": y1 - y0,
            "out_w": piece.x1 - piece.x0,
            "rounding": op.rounding,
            "out_zero": op.zero_point,
            "lo": op.lo,
            "hi": op.hi,
        }
        values["in_base"] += first
        values["out_base"] += piece.x0
        relative = {"param_base": p.params.records[piece.record]} if op.mode == "average" else {}
        drafts.append(Draft("POOL", values, op.node, op.op_type, params=relative))
    return drafts


def _vec(p: OpPlan, op: VecOp, band: Span, region: RegionOf, hw: HardwareConfig) -> Draft:
    a, out = op.inputs[0], op.output
    y0, y1 = band
    blocks = out.blocks(hw.block)
    # a vector's words follow each other: one row of `blocks` pixels
    w, blocks = (blocks, 1) if out.is_vector else (out.w, blocks)
    values = {
        "function": VecFunction[op.function.upper()],
        "b_kind": BKind.SCALAR,
        **_operand("a", region(a), y0),
        **_operand("out", region(out), y0),
        **_size("out", y1 - y0, w, blocks),
        "a_zero": a.zero_point,
        "a_mult": op.a_mult,
        "b_mult": op.b_mult,
        "shift": op.shift,
        "rounding": op.rounding,
        "out_zero": op.zero_point,
        "lo": op.lo,
        "hi": op.hi,
    }
    if len(op.inputs) > 1:
        b = op.inputs[1]
        row = b.is_vector and not out.is_vector
        values |= {
            "b_kind": BKind.ROW if row else BKind.TENSOR,
            "b_zero": b.zero_point,
            **_operand("b", region(b), 0 if row else y0),
        }
    relative: dict[str, int] = {}
    _table(p, values, relative)
    return Draft("VEC", values, op.node, op.op_type, params=relative)
