"""Norms over the last axis as operators: their rules, and what LayerNormalization and RMSNormalization share."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.hardware import HardwareConfig
from vlac.device.layout_op import LayoutOp
from vlac.ir.geometry import is_image
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.rows import Norm, lower_norm
from vlac.lowering.spec import OpSpec, Rule, RuleResult
from vlac.model.reading import attribute, constant_input, input_name, is_constant, shape_of

__all__ = ["norm_spec", "split_spec"]

I64 = NDArray[np.int64]
_BLOCKS = 16  # channels of which an int16 tensor's heads are multiples: on every machine each begins on a block
_MOST_CHANNELS = 16383  # D sum(q^2) of int16 stays below 2^58


def over_the_last_axis(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must be over the last axis alone, of at most 16383 channels."""
    shape = shape_of(node.inputs[0])
    axis = attribute(node, "axis", -1) % max(len(shape), 1)
    ok = axis == len(shape) - 1 and 0 < shape[-1] <= _MOST_CHANNELS
    return RuleResult(ok, f"axis {axis} of shape {list(shape)}")


def constants_are_known(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """Scale and bias must be constants."""
    computed = [i for i, v in enumerate(node.inputs) if i and v is not None and not is_constant(v)]
    return RuleResult(not computed, " and ".join(f"computed input {i} {input_name(node, i)}" for i in computed))


def is_split(node: ir.Node, hw: HardwareConfig) -> RuleResult:
    """It must be in a float model, of one [1, C, ...], and with constant scale and bias."""
    shape = shape_of(node.inputs[0])
    computed = [input_name(node, i) for i in range(1, len(node.inputs)) if not is_constant(node.inputs[i])]
    if len(shape) < 3 or shape[0] != 1:
        return RuleResult(False, f"shape {list(shape)}")
    return RuleResult(False, f"computed {', '.join(computed)}" if computed else "a quantized model")


def split_spec(name: str, summary: str) -> OpSpec:
    """The spec of a norm that a rewrite of float models makes several nodes of."""
    return OpSpec(name, summary, rules=(is_split,), quantize=False)


def norm_spec(name: str, *, centred: bool, more: tuple[Rule, ...] = ()) -> OpSpec:
    """The spec of a norm; `centred`: the mean is taken off; `more` rules than those of all norms."""
    rules = (over_the_last_axis, constants_are_known, *more)

    def lower(low: LoweringContext, node: ir.Node) -> None:
        x, shape = low.operand(node, 0), shape_of(node.inputs[0])
        channels = shape[-1]
        gamma, beta = (constant_input(node, i) for i in (1, 2))
        norm = Norm(
            np.broadcast_to(1.0 if gamma is None else gamma.astype(np.float64).reshape(-1), (channels,)),
            np.broadcast_to(0.0 if beta is None else beta.astype(np.float64).reshape(-1), (channels,)),
            float(attribute(node, "epsilon", 1e-5)),
            centred,
        )
        out = low.result(node)
        if not is_image(shape):
            lower_norm(low.graph, node, x, out, norm)
            return
        beside = _heads_beside(x, shape)
        if beside is not None:  # as norms of queries and keys, which nothing has to move
            packed, index, heads = beside
            target = out.tensor.like(f"{out.tensor.name}:heads", shape=packed.shape)
            lower_norm(low.graph, node, packed, replace(out, tensor=target), norm, heads)
            low.layout(node, [target], index, out.tensor)
            return
        rows = (1, math.prod(shape[:-1]), channels)
        target = out.tensor.like(f"{out.tensor.name}:rows", shape=rows)
        lower_norm(low.graph, node, low.moved(node, x, rows, f"{x.name}:rows"), replace(out, tensor=target), norm)
        low.layout(node, [target], np.arange(math.prod(shape)), out.tensor)

    return OpSpec(name, "REDUCE, RECIP and ROW; statistics are exact.", rules, lower)


def _heads_beside(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, I64, int] | None:
    """The matrix whose pixels have the channels of all heads side by side, of which `x` is made, or None.

    Also which element of it each element of `x` is, and how many heads there are.
    """
    index, t = np.arange(math.prod(shape)), x
    while isinstance(t.producer, LayoutOp) and len(t.producer.inputs) == 1 and (t.producer.index >= 0).all():
        index, t = t.producer.index[index], t.producer.inputs[0]
        for axis in (1, 2):
            heads, length = shape[axis], shape[3 - axis]
            here = np.arange(math.prod(shape)).reshape(length, heads, -1)
            wanted = (here.transpose(1, 0, 2) if axis == 1 else here).reshape(-1)
            sizes = heads > 1 and not is_image(t.shape) and (t.h, t.w, t.c) == (1, length, heads * shape[3])
            if sizes and (t.planes == 1 or shape[3] % _BLOCKS == 0) and np.array_equal(index, wanted):
                return t, index, heads
    return None
