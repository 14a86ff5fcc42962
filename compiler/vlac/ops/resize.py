"""Resize: nearest by COPY; linear where outputs repeat in phases, by a small depthwise convolution for each.

Linear weights are multiples of 1 / (2 * factor) and the like, so they are exact in int8 after scaling; at the edges
the input's border is repeated by COPY. Coordinates as ONNX defines them. Not here: all other modes, for small
tensors only (`resize_matrix`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.conv import CONV
from vla_isa.integer import INT8
from vlac.device.conv import ConvOp
from vlac.ir.geometry import is_image
from vlac.ir.operation import Tensor
from vlac.ir.records import Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.layout import arguments_are_constant, lower_layout
from vlac.lowering.phases import interleaved, phase_tensors
from vlac.lowering.pooling import average_records
from vlac.lowering.resize_matrix import is_small, lower_matrix
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant_input, shape_of

__all__ = ["SPEC"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_MODES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
_ROUND: dict[str, Callable[[F64], F64]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def corners_are_whole(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """With align_corners the scales must give whole sizes: ONNX and ONNX Runtime differ where they do not."""
    found = []
    for axis, (size, out) in enumerate(zip(shape_of(node.inputs[0]), shape_of(node.outputs[0]), strict=True)):
        found.append(_scale(node, axis, size, out) * size)
    aligned = attribute(node, "coordinate_transformation_mode", "half_pixel") == "align_corners"
    ok = not aligned or all(abs(f - round(f)) < 1e-4 for f in found)
    return RuleResult(ok, f"sizes {', '.join(f'{f:g}' for f in found)}")


def it_is_copied_repeats_or_is_small(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Nearest resizing may be of any size. Linear resizing (without antialias) must change rows and pixels of an image
    only and repeat after at most 8 outputs and 4 inputs per axis, with weights that are exact in int8 (factors 2 to 5
    with half_pixel; 1/2, 1/3 and 1/4; align_corners where it gives whole factors). All else must have at most 1024
    values in and out.
    """
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    mode = attribute(node, "mode", "nearest")
    coordinates = attribute(node, "coordinate_transformation_mode", "half_pixel")
    found = f"mode {mode} with {coordinates}, {list(shape)} -> {list(out)}"
    return RuleResult(_is_nearest(node) or _linear_axes(node) is not None or is_small(node), found)


def _is_nearest(node: ir.Node) -> bool:
    coordinates = attribute(node, "coordinate_transformation_mode", "half_pixel")
    return attribute(node, "mode", "nearest") == "nearest" and coordinates in _MODES


# --- coordinates ----------------------------------------------------------------------------------------


def _coordinates(node: ir.Node, axis: int) -> F64:
    """The input position of each output position along an axis."""
    size, out = shape_of(node.inputs[0])[axis], shape_of(node.outputs[0])[axis]
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    scale, x = _scale(node, axis, size, out), np.arange(out, dtype=np.float64)
    if size == out and scale == 1:
        return x
    if mode == "align_corners":
        return x * (size - 1) / (out - 1) if out > 1 else np.zeros(1)
    if mode == "asymmetric":
        return x / scale
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    centre = (x + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        centre += size / 2 * (1 - out / (scale * size))
    return centre


def _scale(node: ir.Node, axis: int, size: int, out: int) -> float:
    scales, sizes = constant_input(node, 2), constant_input(node, 3)
    shape, axes = shape_of(node.inputs[0]), attribute(node, "axes", None)
    chosen = list(range(len(shape))) if axes is None else [a % len(shape) for a in axes]
    if axis not in chosen:
        return 1.0
    if scales is not None and scales.size:
        return float(scales.reshape(-1)[chosen.index(axis)])
    policy = attribute(node, "keep_aspect_ratio_policy", "stretch")
    if sizes is None or policy == "stretch":
        return out / size
    ratios = [int(n) / shape[a] for n, a in zip(sizes.reshape(-1), chosen, strict=True)]
    return min(ratios) if policy == "not_larger" else max(ratios)


def _nearest(node: ir.Node) -> I64:
    """The input element of each output element."""
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    rounded = _ROUND[attribute(node, "nearest_mode", "round_prefer_floor")]
    index = np.arange(math.prod(shape)).reshape(shape)
    for axis, size in enumerate(shape):
        if size != out[axis] or _scale(node, axis, size, out[axis]) != 1:
            at = rounded(np.round(_coordinates(node, axis), 6)).astype(np.int64)
            index = index.take(np.clip(at, 0, size - 1), axis=axis)
    return index.reshape(-1)


@dataclass(frozen=True)
class _Linear:
    """A linear axis: output q * phases + r reads from q * stride + first[r], weights (a, b) / divisor."""

    phases: int
    stride: int
    first: list[int]
    weights: list[tuple[int, int]]
    divisor: int
    before: int
    behind: int


def _linear(node: ir.Node, axis: int) -> _Linear | None:
    at = _coordinates(node, axis)
    size = shape_of(node.inputs[0])[axis]
    step = Fraction(float(at[1] - at[0])).limit_denominator(64) if len(at) > 1 else Fraction(1)
    phases, stride = min(step.denominator, len(at)), step.numerator
    if (
        step.denominator > 8
        or not 1 <= stride <= CONV.limit("stride_h")
        or np.abs(np.diff(at) - float(step)).max(initial=0) > 1e-5
    ):
        return None
    exact = [Fraction(float(a)).limit_denominator(64) for a in at[:phases]]
    first = [math.floor(a) for a in exact]
    divisor = math.lcm(*(a.denominator for a in exact))
    weights = [(int((1 - (a - f)) * divisor), int((a - f) * divisor)) for a, f in zip(exact, first, strict=True)]
    reach = [(len(at) - 1 - r) // phases * stride + first[r] + (weights[r][1] > 0) for r in range(phases)]
    return _Linear(phases, stride, first, weights, divisor, max(0, -min(first)), max(0, max(reach) - size + 1))


def _linear_axes(node: ir.Node) -> tuple[_Linear, _Linear] | None:
    """Rows and pixels of a linear Resize by phases, or None where it cannot be done so."""
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    coordinates = attribute(node, "coordinate_transformation_mode", "half_pixel")
    linear = attribute(node, "mode", "nearest") == "linear" and coordinates in _MODES
    if not linear or attribute(node, "antialias", 0) or not is_image(shape) or shape[:2] != out[:2]:
        return None
    rows, columns = _linear(node, 2), _linear(node, 3)
    if rows is None or columns is None or max(max(r) for r in _products(rows, columns)) > INT8.hi:
        return None
    return rows, columns


def _products(rows: _Linear, columns: _Linear) -> list[list[int]]:
    """The four weights of every phase."""
    return [[a * b for a in r for b in c] for r, c in product(rows.weights, columns.weights)]


# --- lowering -------------------------------------------------------------------------------------------


def _lower(low: LoweringContext, node: ir.Node) -> None:
    if _is_nearest(node):
        lower_layout(low, node, [_nearest(node)])
        return
    axes = _linear_axes(node)
    if axes is None:
        lower_matrix(low, node)
    else:
        _lower_linear(low, node, *axes)


def _lower_linear(low: LoweringContext, node: ir.Node, rows: _Linear, columns: _Linear) -> None:
    x, out = low.operand(node, 0), low.result(node)
    divisor = np.array([rows.divisor * columns.divisor])
    mult, shift = average_records(x, out.tensor, divisor, f"Resize '{node_label(node)}'")
    padded = _extended(low, node, x, rows, columns)
    phases = rows.phases, columns.phases
    parts = phase_tensors(out.tensor, phases)
    for (i, j), part in zip(product(range(phases[0]), range(phases[1])), parts, strict=True):
        (y, weights_y), (z, weights_x) = _window(rows, i), _window(columns, j)
        kernel = INT8.cast(np.outer(weights_y, weights_x))
        full = np.zeros((y + kernel.shape[0], z + kernel.shape[1]), np.int8)
        full[y:, z:] = kernel
        bias = np.full(x.c, -x.zero_point * int(kernel.astype(np.int64).sum()), np.int64)
        records = np.repeat(mult, x.c), np.repeat(shift, x.c)
        requant = Requant(bias, *records, out.tensor.zero_point, out.lo, out.hi)
        weight = np.broadcast_to(full, (x.c, 1, *full.shape)).copy()
        steps = (rows.stride, columns.stride)
        low.graph.insert(ConvOp(out.label, "Resize", [padded], part, weight, requant, steps, (1, 1), (0, 0), x.c))
    interleaved(low, node, parts, phases, out.tensor)


def _window(axis: _Linear, phase: int) -> tuple[int, I64]:
    """Where a phase's taps start in the extended input, and its weights (one where the second is zero)."""
    a, b = axis.weights[phase]
    return axis.first[phase] + axis.before, np.array([a, b] if b else [a])


def _extended(low: LoweringContext, node: ir.Node, x: Tensor, rows: _Linear, columns: _Linear) -> Tensor:
    """`x` with its border repeated as far as windows reach."""
    pads = (rows.before, rows.behind), (columns.before, columns.behind)
    if not any(map(any, pads)):
        return x
    numbers = np.pad(np.arange(x.c * x.h * x.w).reshape(x.c, x.h, x.w), ((0, 0), *pads), mode="edge")
    shape = (1, *numbers.shape)
    out = x.like(f"{x.name}:extended", shape=shape)
    return low.layout(node, [x], numbers.reshape(-1), out)


SPEC = OpSpec(
    "Resize",
    "Nearest: COPY with steps. Linear: a depthwise CONV per phase, put together by COPY. Any mode of a small tensor: "
    "GEMM, with weights rounded to 8 bits where they are not exact.",
    rules=(arguments_are_constant, corners_are_whole, it_is_copied_repeats_or_is_small),
    lower=_lower,
    keeps_scale=True,
)
