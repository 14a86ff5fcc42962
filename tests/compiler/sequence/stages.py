"""float64, stage by stage, on the device's own integers: the reference of what ONNX has no integers for.

Every stage is computed from the integers that the device gave to it and the model's constants, never by the code's
own arithmetic: within 1 LSB everywhere, equal in nearly all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from vla_isa.generated.codes import RowTable
from vlac.device.bands import PixelSlice
from vlac.device.product import LogitsOp, MixOp
from vlac.device.rotate import RotateOp
from vlac.device.rotate_pairs import RotatePairsOp
from vlac.device.row import RowOp
from vlac.device.to_weights import TransposeOp
from vlac.ir.operation import Op, Tensor
from vlac.passes import Compilation

__all__ = ["Stage", "stages"]

F64 = NDArray[np.float64]
LOWEST = -32768
_FUNCTIONS = {
    "Gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2,
    "Swish": lambda x: x / (1 + np.exp(-x)),
    "Relu": lambda x: np.maximum(x, 0),
    "Abs": np.abs,
    "Neg": np.negative,
    "Exp": np.exp,
    "Erf": np.vectorize(math.erf),
}


@dataclass(frozen=True)
class Stage:
    """One stage: how many values differ by how much from float64."""

    name: str
    kind: str
    values: int
    different: int
    largest: float


def stages(state: Compilation, known: dict[Tensor, NDArray[Any]]) -> list[Stage]:
    """Every norm, logits, exponents and mix of a program; `known` are its tensors' integers [pixels, channels]."""
    constants = {i.name: numpy_helper.to_array(i) for i in state.quantized.reference.graph.initializer}
    nodes = {n.output[0]: n for n in state.quantized.reference.graph.node}
    found = []
    for op in state.graph.ops:
        wanted = _wanted(op, known, nodes, constants)
        if wanted is not None:
            kind, values = wanted
            found.append(_compared(op.output, kind, values, known[op.output]))
    return found


def _compared(out: Tensor, kind: str, wanted: F64, q: NDArray[Any]) -> Stage:
    low, high = (-32768, 32767) if out.type.bits == 16 else (-128, 127)
    exact = np.clip(np.rint(wanted), low, high)
    difference = np.abs(exact - q)
    return Stage(out.label, kind, q.size, int((difference > 0).sum()), float(difference.max()))


def _wanted(op: Op, known: dict[Tensor, Any], nodes: Any, constants: Any) -> tuple[str, F64] | None:
    out = op.output
    if isinstance(op, LogitsOp):
        return "logits", _logits(op, known, nodes, constants)
    if isinstance(op, MixOp):
        return "mix", _mix(op, known)
    if isinstance(op, RotateOp) and len(op.inputs) == 3 and nodes[out.label].input[1] in constants:
        x = op.inputs[2].producer.inputs[0]  # what is not exchanged, of the product with cosines
        heads = known[x].reshape(out.w, op.heads, -1)
        return "rotation", _rotation(heads, nodes[out.label], constants) * x.scale / out.scale
    if isinstance(op, RotatePairsOp):
        x = op.inputs[0]
        heads = known[x].reshape(out.w, op.heads, 2, -1)[:, :, 0]
        return "rotation", _rotation(heads, nodes[out.label], constants) * x.scale / out.scale
    if isinstance(op, RowOp) and op.op_type == "Attention":
        return _capped(op, known, nodes) if ":capped" in out.label else _softmax(op, known)
    if isinstance(op, RowOp) and op.table_mode == RowTable.IN16:
        return "lines", _lines(op, known, nodes, constants)
    if isinstance(op, RowOp) and op.op_type in ("LayerNormalization", "RMSNormalization"):
        x = op.inputs[0]
        real = (known[x].astype(np.float64) - x.zero_point) * x.scale
        heads = real.reshape(len(real) * op.groups, -1)
        kind = "norm" if out.planes == 1 else "wide norm"  # whose result may be finer than the normalized int16 inside
        wanted = _norm(nodes[out.label], constants, heads).reshape(real.shape)
        return kind, wanted / out.scale + out.zero_point
    return None


def _copied(weights: Tensor, known: dict[Tensor, Any]) -> tuple[Tensor, NDArray[Any]]:
    """The tensor that was copied to weights, perhaps for all heads at once and through a transpose, and the head's
    values in it [keys, channels].
    """
    made = weights.producer
    joined = isinstance(made, PixelSlice)
    copy = made.inputs[0].producer if joined else made
    x = copy.inputs[0]
    turn = x.producer if isinstance(x.producer, TransposeOp) else None
    source = x if turn is None else turn.inputs[0]
    if turn is not None and turn.positions is not None:
        return source, known[source][:, turn.positions[weights.pixel :][: weights.w]]
    if copy.heads:
        return source, known[source][:, copy.heads[weights.pixel * len(copy.heads) // made.inputs[0].w]]
    return source, known[source]


def _logits(op: LogitsOp, known: dict[Tensor, Any], nodes: Any, constants: Any) -> F64:
    """Which are masked by a limit says the end of the block; what is added says the model."""
    q, (keys, values) = op.inputs[0], _copied(op.inputs[1], known)
    label, _, head = op.output.label.partition(":logits")
    acc = known[q].astype(np.float64) @ values.astype(np.float64).T
    if label not in nodes:  # of a batch, whose masks here are alike
        label = label.rpartition(":")[0]
    given = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[label].attribute}
    logits = acc * q.scale * keys.scale * given.get("scale", 1 / np.sqrt(q.c)) * 256
    cap = [a.f for a in nodes[label].attribute if a.name == "softcap" and a.f]
    if cap:  # masks come behind it
        return np.clip(logits / 256 / (4 * cap[0] / 32767), -32767, 32767)
    mask = nodes[label].input[3:4]
    if mask and mask[0] and mask[0] not in constants:  # the host's, in units of logits
        added = known[op.inputs[2]].astype(np.float64)
        logits = np.where(added == LOWEST, LOWEST, np.clip(logits + added, -32767, 32767))
    elif mask and mask[0]:
        given = constants[mask[0]]
        whole = given.reshape(-1, *logits.shape)
        added = whole[int(head) if len(whole) > 1 else 0]
        added = np.where(added, 0.0, -np.inf) if added.dtype == bool else added.astype(np.float64)
        logits = np.where(np.isneginf(added), LOWEST, np.clip(logits + np.rint(256 * added), -32767, 32767))
    return np.where(known[op.output] == LOWEST, LOWEST, np.clip(logits, LOWEST, 32767))


def _rotation(heads: NDArray[Any], node: onnx.NodeProto, constants: Any) -> F64:
    """Of heads [pixels, heads, d] pairs of channels (a, b) become (a cos - b sin, a sin + b cos)."""
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    x = heads.astype(np.float64)
    cos, sin = (constants[name].astype(np.float64)[0, :, None] for name in node.input[1:3])
    n = given.get("rotary_embedding_dim", 0) or x.shape[-1]
    at = np.arange(n)
    first, second = (at[::2], at[1::2]) if given.get("interleaved", 0) else (at[: n // 2], at[n // 2 :])
    y = x.copy()
    y[..., first] = x[..., first] * cos - x[..., second] * sin
    y[..., second] = x[..., first] * sin + x[..., second] * cos
    return y.reshape(len(y), -1)


def _softmax(op: RowOp, known: dict[Tensor, Any]) -> tuple[str, F64] | None:
    """Exponents of 8 bits, or a step of those of 16: less the maximum, lines, the high byte, the sum of two mixes."""
    x = known[op.inputs[0]].astype(np.float64)
    step = np.log(2 * 127 * 257) / 128
    if "c" in op.roles:
        return "sum", (x + known[op.inputs[1]]) / 128
    if op.table_mode == RowTable.OUT8:
        return "exponents", _exponents(x)
    if op.table_mode == RowTable.DITHER:
        return "exponents", _dithered(x)
    if op.table_mode == RowTable.IN16:
        points = np.arange(-128, 1)
        knots = np.where(points == -128, 0, np.rint(127 * 257 * np.exp(points * step)))
        return "exponents", np.floor(np.interp(x / 256, points, knots) + 0.5)  # a half is rounded up there
    if op.output.planes == 2:
        return "less", np.where(x == LOWEST, LOWEST, (x - x.max(axis=1, keepdims=True)) / step)
    return "high", np.floor((x + 128) / 256)


def _capped(op: RowOp, known: dict[Tensor, Any], nodes: Any) -> tuple[str, F64]:
    """Lines between points of cap * tanh(x / cap) in 1/256, and what is added in 1/128; or the latter alone."""
    x = known[op.inputs[0]].astype(np.float64)
    if op.table_mode == RowTable.IN16:
        (cap,) = [a.f for a in nodes[op.output.label.partition(":")[0]].attribute if a.name == "softcap"]
        points = np.arange(-128, 129) * 256.0
        x = np.interp(x, points, np.rint(256 * cap * np.tanh(points * 4 / 32767)))
    added = 2 * known[op.inputs[1]].astype(np.float64) if len(op.inputs) > 1 else 0.0
    return "capped", np.clip(x + added, LOWEST, 32767)


def _dithered(x: F64) -> F64:
    """Up or down by the column: the fraction of the entry beside the column's bits in reverse order."""
    step = np.log(254 * 256) / 255
    index = np.clip(np.rint((x - x.max(axis=1, keepdims=True)) / 256 / step), -255, 0)
    e = np.where((x == LOWEST) | (index == -255), 0, np.rint(127 * 256 * np.exp(index * step)))
    columns = [int(f"{j % 256:08b}"[::-1], 2) for j in range(x.shape[1])]
    return np.minimum(np.floor((e + columns) / 256), 127)


def _exponents(logits: NDArray[Any]) -> F64:
    x = logits.astype(np.float64)
    top = x.max(axis=1, keepdims=True)
    step = np.log(254) / 255
    index = np.clip(np.rint((x - top) / 256 / step), -255, 0)
    e = np.where((x == LOWEST) | (index == -255), 0, 127 * np.exp(index * step))
    return e


def _mix(op: MixOp, known: dict[Tensor, Any]) -> F64:
    """The sums are those that the records were made of; an int16 exponent's low byte is what the high one leaves."""
    shares, sums = (known[t].astype(np.float64) for t in (op.inputs[0], op.inputs[2].producer.inputs[0]))
    values, v = _copied(op.inputs[1], known)
    if values.constant is not None:  # it lies transposed from the start
        v = v.T
    if op.low_bytes:
        shares = shares - 256 * np.floor((shares + 128) / 256)
    elif op.output.planes == 2:
        shares = 256 * shares
    mixed = shares @ v.astype(np.float64) / np.maximum(sums.sum(axis=1, keepdims=True), 1)
    return mixed * values.scale / op.output.scale


def _lines(op: RowOp, known: dict[Tensor, Any], nodes: Any, constants: Any) -> F64:
    """A function of an int16, by lines between the multiples of 256, or a row of constants times it; also
    exponents of gates.
    """
    points, x = np.arange(-128, 129) * 256.0, op.inputs[0]
    if op.output.label.endswith(":exponents"):
        return np.interp(known[x], points, np.exp(np.minimum(points * x.scale, 0))) / op.output.scale
    node, factor = nodes[op.output.label], 1.0
    if node.op_type == "Mul":
        (row,) = (name for name in node.input if name in constants)
        factor = constants[row].astype(np.float64)
        node = nodes[next(name for name in node.input if name not in constants)]
    values = _FUNCTIONS[node.op_type](points * x.scale)
    return np.interp(known[x], points, values) * factor / op.output.scale + op.output.zero_point


def _norm(node: onnx.NodeProto, constants: Any, x: F64) -> F64:
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    gamma = constants[node.input[1]].astype(np.float64)
    beta = constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else 0.0
    if node.op_type == "LayerNormalization":
        x = x - x.mean(axis=1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + given.get("epsilon", 1e-5)) * gamma + beta
