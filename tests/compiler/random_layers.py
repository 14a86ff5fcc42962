"""Random layers with weights or windows, and reductions: one function per ONNX operator, see `random_network`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from random_network import LARGEST, SMALL, Network, Undone

from vlac.lowering.wide_conv import axis_plan


@dataclass
class Axis:
    """How a window walks along an axis."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    behind: int

    @property
    def rest(self) -> int:
        """Padded positions behind the first window."""
        return self.size + self.before + self.behind - (self.kernel - 1) * self.dilation - 1


def attributes_of(axes: list[Axis]) -> dict[str, list[int]]:
    """The ONNX attributes of a window but its kernel."""
    return {
        "strides": [a.stride for a in axes],
        "dilations": [a.dilation for a in axes],
        "pads": [a.before for a in axes] + [a.behind for a in axes],
    }


def image_or_sequence(n: Network) -> str:
    """A value with rows and pixels, sometimes one with a single axis behind its channels."""
    if n.maybe(4):
        return n.which(lambda v: len(n.shape(v)) == 3 and n.shape(v)[0] == 1 and n.size(v) <= SMALL)
    return n.image()


def weights(n: Network, *shape: int) -> str:
    """A constant that keeps the size of activations."""
    return n.constant(n.g.weight(*shape))


def groups(n: Network, channels: int) -> int:
    """A divisor of the channels: 1, all of them, or another."""
    return n.pick(1, 1, channels, n.pick(*(d for d in range(1, channels + 1) if channels % d == 0)))


# --- convolutions ---------------------------------------------------------------------------------------


def conv_axis(n: Network, size: int) -> Axis:
    """Any kernel, stride and dilation that the machine takes as they are or folded."""
    kernel = n.pick(3, 1, 2, 5, 4, 7, n.some(16, 20))
    stride = n.pick(1, 1, 2, 3, 4, n.some(5, 8))
    dilation = n.pick(1, 1, 1, 2, 3) if kernel < 8 else 1
    axis = Axis(size, kernel, stride, dilation, n.some(0, kernel - 1), n.some(0, kernel - 1))
    axis.behind += max(0, -axis.rest)
    if axis_plan(kernel, stride, dilation, axis.before) is None:
        raise Undone
    return axis


def conv(n: Network) -> str:
    x = image_or_sequence(n)
    _, c, *sizes = n.shape(x)
    axes = [conv_axis(n, s) for s in sizes]
    kernel = [a.kernel for a in axes]
    group = groups(n, c)
    out = group * n.some(1, max(1, 40 // group))
    # folding adds at most 8 positions to a kernel; the weights of 8 channels must fit tiny's 2048 words of 8 x 8
    reach = [a.kernel + (8 if a.kernel > 15 or a.stride > 4 else 0) for a in axes]
    if (1 if group == c else -(-c // 8)) * np.prod(reach) > 2048:
        raise Undone
    given: dict[str, object] = attributes_of(axes)
    if n.maybe(8) and all(a.dilation == 1 and a.stride <= a.kernel <= a.size for a in axes):
        del given["pads"]
        given["auto_pad"] = n.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    bias = [] if n.maybe(4) else [n.constant(n.g.rng.standard_normal(out) * 0.3)]
    return n.node("Conv", [x, weights(n, out, c // group, *kernel), *bias], group=group, **given)


def conv_transpose(n: Network) -> str:
    x = image_or_sequence(n)
    _, c, *sizes = n.shape(x)
    axes = []
    for size in sizes:
        stride = n.pick(2, 1, 3, 4, n.some(5, 16))
        kernel, dilation = n.pick(stride, 3, 2, 1, 4, 5, n.some(6, 15)), n.pick(1, 1, 2)
        reach = (size - 1) * stride + (kernel - 1) * dilation
        before = n.some(0, min(kernel - 1, reach // 2))
        axes.append(Axis(size, kernel, stride, dilation, before, n.some(0, min(kernel - 1, reach - before))))
    group = groups(n, c)
    per_group = n.some(1, max(1, 24 // group))
    kernel = [a.kernel for a in axes]
    if c * np.prod(kernel) > 8000:
        raise Undone
    given: dict[str, object] = attributes_of(axes)
    if n.maybe(3):
        given["output_padding"] = [n.some(0, a.stride - 1) for a in axes]
    elif n.maybe(6) and all(a.dilation == 1 and a.kernel >= a.stride for a in axes):
        del given["pads"]
        given["auto_pad"] = n.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    bias = [n.constant(n.g.rng.standard_normal(group * per_group) * 0.3)] if n.maybe() else []
    return n.node("ConvTranspose", [x, weights(n, c, per_group, *kernel), *bias], group=group, **given)


# --- products -------------------------------------------------------------------------------------------


def matrix(n: Network) -> str:
    """A value of two axes; an image or another value is flattened."""
    x = n.which(lambda v: (len(n.shape(v)) == 2 or n.is_image(v)) and n.size(v) <= 4096)
    return x if len(n.shape(x)) == 2 else n.node("Flatten", [x])


def gemm(n: Network) -> str:
    x = matrix(n)
    rows, k = n.shape(x)
    turned = n.maybe(4) and rows * k <= SMALL
    rows, k = (k, rows) if turned else (rows, k)
    columns, transposed = n.some(1, 40), n.pick(1, 0)
    w = n.g.weight(columns, k)
    given: dict[str, object] = {"transB": transposed, "transA": int(turned)}
    if n.maybe(3):
        given["alpha"] = n.uniform(0.25, 2)
    c = n.pick((columns,), None, (), (1,), (1, columns), (rows, 1), (rows, columns))
    bias = [] if c is None else [n.noise(*c)]
    if bias and n.maybe(3):
        given["beta"] = n.uniform(-2, 2)
    return n.node("Gemm", [x, n.constant(w if transposed else w.T), *bias], **given)


def matmul(n: Network) -> str:
    x = n.which(lambda v: len(n.shape(v)) > 0 and (not n.is_image(v) or n.size(v) <= SMALL))
    columns = n.some(1, 40)
    w = n.g.weight(columns, n.shape(x)[-1]).T
    right = n.constant(w[:, 0] if n.maybe(4) and len(n.shape(x)) > 1 else w)
    return n.node("MatMul", [x, right], limit=SMALL if n.is_image(x) else LARGEST)


def batch_normalization(n: Network) -> str:
    x = n.which(lambda v: len(n.shape(v)) > 1)
    c = n.shape(x)[1]
    scale, variance = (n.constant(n.g.rng.uniform(0.5, 1.5, c)) for _ in range(2))
    return n.node("BatchNormalization", [x, scale, n.noise(c), n.noise(c), variance], epsilon=n.pick(1e-5, 0.1))


# --- pools ----------------------------------------------------------------------------------------------


def pool_axis(n: Network, size: int, dilated: bool) -> Axis:
    """A window that is no larger than the axis, so that none lies in the padding only."""
    kernel = n.some(1, min(size, 5))
    dilation = n.pick(1, 2, 3) if dilated and kernel > 1 else 1
    dilation = dilation if (kernel - 1) * dilation < size else 1
    most = (kernel - 1) // 2 if dilation == 1 else min(dilation * (kernel - 1) // 2, kernel - 1)
    return Axis(size, kernel, n.pick(2, 1, 1, 3, n.some(4, 15)), dilation, n.some(0, most), n.some(0, most))


def pool(op: str, n: Network) -> str:
    x = image_or_sequence(n)
    dilated = n.maybe(4) and (op == "MaxPool" or n.opset >= 19)
    axes = [pool_axis(n, s, dilated) for s in n.shape(x)[2:]]
    given: dict[str, object] = {**attributes_of(axes), "kernel_shape": [a.kernel for a in axes]}
    if op == "AveragePool" and n.opset < 19:
        del given["dilations"]
    # a window that ceil_mode adds begins inside the input or in front of it
    reached = all((-(-a.rest // a.stride)) * a.stride < a.size + a.before for a in axes)
    if n.maybe(4) and reached and not dilated:
        given["ceil_mode"] = 1
    elif n.maybe(6) and not dilated and all(a.kernel >= a.stride for a in axes):
        del given["pads"]
        given["auto_pad"] = n.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    if op == "AveragePool" and n.maybe() and "ceil_mode" not in given:
        given["count_include_pad"] = 1
    return n.node(op, [x], **given)


def global_pool(op: str, n: Network) -> str:
    return n.node(op, [image_or_sequence(n)])


# --- reductions -----------------------------------------------------------------------------------------


def reduction(op: str, n: Network) -> str:
    """Over rows and pixels of any image, over channels, over all, and over any axes of a small value."""
    x = n.which(lambda v: len(n.shape(v)) > 0)
    rank, large = len(n.shape(x)), n.size(x) > SMALL
    axes = [a for a in range(rank) if n.maybe()] or [rank - 1]
    keep = n.pick(1, 0)
    if large:
        if not n.is_image(x):
            raise Undone
        axes, keep = n.pick(([2, 3], 1), ([2, 3], 0), ([2], 1), ([3], 1), ([1], 1), ([1, 2, 3], 0))
        if axes[0] == 1 and op == "ReduceMax":
            raise Undone
    axes = [a - rank if n.maybe(4) else a for a in axes]
    if op == "ReduceSum" or n.opset >= 18:
        return n.node(op, [x, n.constant(np.array(axes))], keepdims=keep)
    return n.node(op, [x], axes=axes, keepdims=keep)


LAYERS = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_normalization,
    "MaxPool": partial(pool, "MaxPool"),
    "AveragePool": partial(pool, "AveragePool"),
    "GlobalMaxPool": partial(global_pool, "GlobalMaxPool"),
    "GlobalAveragePool": partial(global_pool, "GlobalAveragePool"),
    "ReduceMax": partial(reduction, "ReduceMax"),
    "ReduceMean": partial(reduction, "ReduceMean"),
    "ReduceSum": partial(reduction, "ReduceSum"),
}
