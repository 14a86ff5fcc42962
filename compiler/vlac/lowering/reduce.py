"""Sums, means and maxima over axes, shared by ReduceSum, ReduceMean and ReduceMax.

Over rows and pixels it is POOL with a window that covers these axes; sums over channels are a convolution or
product with ones, and sums over everything the product of the flattened tensor with ones. One rounding each.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vla_isa.instructions.gemm import GEMM
from vla_isa.instructions.pool import POOL
from vlac.device.conv import ConvOp
from vlac.device.gemm import GemmOp
from vlac.ir.geometry import geometry, is_image
from vlac.ir.operation import Op, Tensor
from vlac.ir.records import Requant
from vlac.lowering.context import LoweringContext
from vlac.lowering.pooling import Axis, average_records, lower_average, lower_max, max_pool
from vlac.lowering.quantized import Result
from vlac.lowering.spec import OpSpec, RuleResult
from vlac.lowering.weights import prove_no_wrap
from vlac.model.labels import node_label
from vlac.model.reading import attribute, constant_input, input_name, shape_of

__all__ = ["lower_maximum", "lower_sum", "sums"]


def axes_are_constant(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The axes must be constants."""
    computed = len(node.inputs) > 1 and node.inputs[1] is not None and constant_input(node, 1) is None
    return RuleResult(not computed, f"computed axes {input_name(node, 1) if computed else ''}")


def is_one_tensor(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """The input must have an axis, and at most {POOL[in_h]} rows of {POOL[in_w]} pixels; what is no image
    [1, C, H, W] has its last axis as channels and the others as pixels.
    """
    shape = shape_of(node.inputs[0])
    h, w, _ = geometry(shape)
    return RuleResult(bool(shape) and h <= POOL.limit("in_h") and w <= POOL.limit("in_w"), f"input shape {list(shape)}")


def it_can_be_arranged(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """What is joined must be at most {POOL[in_w]} values of at most {POOL[in_h]} results per channel, where it is not
    all rows, all pixels or all channels.
    """
    kept, joined = _counts(node)
    ok = _kind(node) != "mixed" or (joined <= POOL.limit("in_w") and kept <= POOL.limit("in_h"))
    return RuleResult(ok, f"{joined} values, {kept} results")


def one_out_block_fits(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """A sum over channels must take at most {GEMM[k_blocks]} words of {block} channels, and fit the {weight_words}
    words of the weight scratchpad; one over everything that many for all pixels.
    """
    shape = shape_of(node.inputs[0])
    kind = _kind(node)
    h, w, c = geometry(shape)
    words = -(-c // hw.block) if kind in ("channels", "all") else 1
    words *= h * w if kind == "all" else 1  # flattened, each pixel's channels are padded to blocks
    return RuleResult(words <= min(hw.weight_words, GEMM.limit("k_blocks")), f"{words} words")


def _axes(node: ir.Node) -> tuple[int, ...]:
    """The axes of a reduction, all of them where none are given (and none with noop_with_empty_axes)."""
    given = constant_input(node, 1)
    axes = attribute(node, "axes", None) if given is None else given.reshape(-1).tolist()
    rank = len(shape_of(node.inputs[0]))
    if not axes:
        return () if attribute(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(int(a) % rank for a in axes))


def _kind(node: ir.Node) -> str:
    """What a reduction runs over: "space" (POOL as it lies), "channels", "all", or "mixed"."""
    shape, axes = shape_of(node.inputs[0]), set(_axes(node))
    channel = 1 if is_image(shape) else len(shape) - 1
    places = {i for i, n in enumerate(shape) if n > 1 and i != channel}
    reduced = axes & places
    if channel not in axes:
        return "space" if is_image(shape) or reduced in (places, set()) else "mixed"
    if not reduced:
        return "channels"
    return "all" if reduced == places else "mixed"


def _channel_axis(node: ir.Node) -> int | None:
    """The axis of channels, None where it is reduced."""
    shape = shape_of(node.inputs[0])
    channel = 1 if is_image(shape) else len(shape) - 1
    return None if channel in _axes(node) else channel


def _counts(node: ir.Node) -> tuple[int, int]:
    """Results per channel, and how many values each joins."""
    shape, axes, channel = shape_of(node.inputs[0]), _axes(node), _channel_axis(node)
    joined = math.prod(shape[a] for a in axes)
    return math.prod(shape) // joined // (1 if channel is None else shape[channel]), joined


def _arranged(low: LoweringContext, node: ir.Node, x: Tensor) -> tuple[Tensor, tuple[int, int], NDArray[np.int64]]:
    """An image or matrix of x, the window to join in it, and which joined element each element of the result is."""
    shape, axes, channel = shape_of(node.inputs[0]), _axes(node), _channel_axis(node)
    if _kind(node) == "space":
        matrix = (1, x.w if any(shape[a] > 1 for a in axes) else 1)
        window = ((x.h if 2 in axes else 1), (x.w if 3 in axes else 1)) if is_image(shape) else matrix
        return x, window, np.arange(math.prod(shape) // window[0] // window[1])
    kept = [i for i in range(len(shape)) if i not in axes]
    front = [*([] if channel is None else [channel]), *(i for i in kept if i != channel)]
    results, joined = _counts(node)
    image = (1, 1 if channel is None else shape[channel], results, joined)
    numbers = np.arange(math.prod(shape)).reshape(shape).transpose([*front, *axes]).reshape(-1)
    target = x.like(f"{x.name}:arranged", shape=image)
    made = np.arange(image[1] * results).reshape([shape[i] for i in front])
    index = made.transpose([front.index(i) for i in kept]).reshape(-1)
    return low.layout(node, [x], numbers, target), (1, joined), index


# --- lowering -------------------------------------------------------------------------------------------


def lower_maximum(low: LoweringContext, node: ir.Node, *, everywhere: bool = False) -> None:
    """A maximum over the node's axes, or over all rows and pixels."""
    x = low.operand(node, 0)
    if everywhere:
        source, kernel, index = x, (x.h, x.w), np.arange(x.c)
    else:
        source, kernel, index = _arranged(low, node, x)
    size = source.h - kernel[0] + 1, source.w - kernel[1] + 1
    rows, columns = (Axis(n, o, k, 1, 0, 0) for n, o, k in zip((source.h, source.w), size, kernel, strict=True))

    def make(out: Tensor) -> None:
        low.graph.insert(max_pool(node.op_type, node_label(node), source, out, rows, columns))

    lower_max(low, node, x, _pooled_shape(source, kernel), make, index)


def _pooled_shape(x: Tensor, kernel: tuple[int, int]) -> tuple[int, ...]:
    h, w = x.h - kernel[0] + 1, x.w - kernel[1] + 1
    return (1, x.c, h, w) if is_image(x.shape) else (w, x.c)


def lower_sum(low: LoweringContext, node: ir.Node, *, mean: bool) -> None:
    """A sum or mean over the node's axes."""
    x = low.operand(node, 0)
    out = low.result(node)
    kind = _kind(node)
    if kind in ("space", "mixed"):
        x, kernel, index = _arranged(low, node, x)
        made = _shaped(out, _pooled_shape(x, kernel), index)
        lower_average(low, node, x, made, kernel, None if mean else 1)
        _finish(low, node, made, out, index)
        return
    if kind == "all":
        x = low.moved(node, x, (1, math.prod(x.shape)), f"{x.name}:flat")
    shape = (1, 1, x.h, x.w) if is_image(x.shape) else (x.w, 1)
    index = np.arange(math.prod(shape))
    made = _shaped(out, shape, index)
    low.graph.insert(_with_ones(node, x, made, x.c if mean else 1))
    _finish(low, node, made, out, index)


def _with_ones(node: ir.Node, x: Tensor, out: Result, divisor: int) -> Op:
    where = f"{node.op_type} '{node_label(node)}'"
    mult, shift = average_records(x, out.tensor, np.array([divisor]), where)
    bias = np.array([-x.zero_point * x.c], np.int64)
    ones = np.ones((1, x.c), np.int8)
    prove_no_wrap(ones, bias, where)
    requant = Requant(bias, mult, shift, out.tensor.zero_point, out.lo, out.hi)
    if is_image(x.shape):
        weight = ones.reshape(1, x.c, 1, 1)
        return ConvOp(out.label, node.op_type, [x], out.tensor, weight, requant, (1, 1), (1, 1), (0, 0))
    return GemmOp(out.label, node.op_type, [x], out.tensor, ones, requant)


def _shaped(out: Result, shape: tuple[int, ...], index: NDArray[np.int64]) -> Result:
    """A result in the shape it is computed in, which the model may see with fewer axes."""
    t = out.tensor
    tensor = t.like(f"{t.name}:reduced", shape=shape)
    same = tensor.same_order(t) and np.array_equal(index, np.arange(len(index)))
    return out if same else Result(tensor, out.lo, out.hi, out.label)


def _finish(low: LoweringContext, node: ir.Node, made: Result, out: Result, index: NDArray[np.int64]) -> None:
    if made.tensor is not out.tensor:
        low.layout(node, [made.tensor], index, out.tensor)


def sums(name: str, *, mean: bool) -> OpSpec:
    """The spec of a sum or a mean."""

    def lower(low: LoweringContext, node: ir.Node) -> None:
        lower_sum(low, node, mean=mean)

    return OpSpec(
        name,
        "POOL over rows and pixels; a product with ones over channels or everything.",
        rules=(axes_are_constant, is_one_tensor, it_can_be_arranged, one_out_block_fits),
        lower=lower,
    )
