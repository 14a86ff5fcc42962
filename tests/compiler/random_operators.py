"""How every operator of `vlac.ops` is drawn (`OPERATORS`), and here those that work element by element.

Functions with a domain, and those that grow, read a value that is brought into bounds, so that none is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from random_layers import LAYERS
from random_moves import MOVES
from random_network import Network, Shape, Undone

# operator -> the bounds of its input, if any
UNARY: dict[str, tuple[float, float] | None] = {
    "Abs": None,
    "Acos": (-0.9, 0.9),
    "Acosh": (1, 3),
    "Asin": (-0.9, 0.9),
    "Asinh": None,
    "Atan": None,
    "Atanh": (-0.9, 0.9),
    "Ceil": None,
    "Celu": None,
    "Cos": (-4, 4),
    "Cosh": (-3, 3),
    "Elu": None,
    "Erf": None,
    "Exp": (-3, 3),
    "Floor": None,
    "Gelu": None,
    "HardSigmoid": None,
    "HardSwish": None,
    "LeakyRelu": None,
    "Log": (0.2, 3),
    "Mish": None,
    "Neg": None,
    "Reciprocal": (0.5, 3),
    "Relu": None,
    "Round": None,
    "Selu": None,
    "Shrink": None,
    "Sigmoid": None,
    "Sign": None,
    "Sin": (-4, 4),
    "Sinh": (-3, 3),
    "Softplus": None,
    "Softsign": None,
    "Sqrt": (0, 3),
    "Swish": None,
    "Tan": (-1, 1),
    "Tanh": None,
    "ThresholdedRelu": None,
}
SINCE = {"Mish": 18, "Gelu": 20, "Swish": 24}  # opset
# operator -> attribute -> interval
ATTRIBUTES = {
    "Celu": {"alpha": (0.3, 2)},
    "Elu": {"alpha": (0.3, 2)},
    "HardSigmoid": {"alpha": (0.1, 0.5), "beta": (0.2, 0.8)},
    "LeakyRelu": {"alpha": (-0.5, 0.5)},
    "Selu": {"alpha": (1, 2), "gamma": (0.5, 1.5)},
    "Shrink": {"bias": (0, 0.5), "lambd": (0.1, 0.8)},
    "Swish": {"alpha": (0.5, 2)},
    "ThresholdedRelu": {"alpha": (0, 0.6)},
}

COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")


def bounded(n: Network, x: str, bounds: tuple[float, float] | None) -> str:
    """A value inside the bounds: by Sigmoid, which is one table with what reads it, or by Clip, which is rounded.

    A rounded bound may lie outside, so by Clip only where there is room: ONNX Runtime knows no value there.
    """
    if bounds is None:
        return x
    low, high = (n.constant(np.float32(b)) for b in bounds)
    if bounds[0] == -bounds[1] and bounds[1] > 1 and n.maybe():
        return n.node("Clip", [x, low, high])
    range_ = n.constant(np.float32(bounds[1] - bounds[0]))
    return n.node("Add", [n.node("Mul", [n.node("Sigmoid", [x]), range_]), low])


def unary(op: str, n: Network) -> str:
    if n.opset < SINCE.get(op, 0):
        raise Undone
    given: dict[str, object] = {k: n.uniform(*v) for k, v in ATTRIBUTES.get(op, {}).items()} if n.maybe() else {}
    if op == "Gelu":
        given["approximate"] = n.pick("none", "tanh")
    return n.node(op, [bounded(n, n.any(), UNARY[op])], **given)


def clip(n: Network) -> str:
    low, high = n.constant(np.float32(n.uniform(-2, 0.5))), n.constant(np.float32(n.uniform(0.5, 3)))
    return n.node("Clip", [n.any(), *n.pick([low, high], [low], ["", high])])


# --- two operands ---------------------------------------------------------------------------------------


def constant_shape(n: Network, shape: Shape) -> Shape:
    """What a constant operand may have: one value, or one for each element, per channel or per pixel, or other axes."""
    kept = [n.maybe() for _ in shape]
    return n.pick((), (1,), shape, tuple(d if k else 1 for d, k in zip(shape, kept, strict=True)))


def computed_operand(n: Network, x: str) -> str:
    """A value of the shape of x, or one value of it in all, per channel or per pixel."""
    shape = n.shape(x)
    if n.maybe(3) and n.is_image(x):
        if n.maybe(3):
            return n.node("ReduceSum", [n.node("Sigmoid", [x]), n.constant([1])])
        gate = n.node("GlobalAveragePool", [x])
        return n.node("Sigmoid", [gate]) if n.maybe() else gate
    if n.maybe(8):
        one = n.pick((), (1,), (1,) * len(shape))
        return n.input(f"input{len(n.g.inputs)}", one, keep=False)
    return n.which(lambda v: n.shape(v) == shape)


def operands(n: Network, x: str, bounds: tuple[float, float] | None = None) -> list[str]:
    """x and another operand in any order."""
    if n.maybe():
        other = n.constant(np.clip(n.g.rng.standard_normal(constant_shape(n, n.shape(x))), -3, 3))
    else:
        other = bounded(n, computed_operand(n, x), bounds)
    pair = [x, other]
    n.rng.shuffle(pair)
    return pair


def binary(op: str, n: Network) -> str:
    """A product has one operand that does not make it much larger."""
    return n.node(op, operands(n, n.any(), (-3, 3) if op == "Mul" else None))


def variadic(op: str, n: Network) -> str:
    x = n.any()
    values = [x, *(n.which(lambda v: n.shape(v) == n.shape(x)) for _ in range(n.some(0, 3)))]
    if n.maybe(4):
        return n.node(op, operands(n, x))
    if n.maybe(4):
        values.append(n.constant(np.float32(n.uniform(-1, 1))))
    return n.node(op, values)


def div(n: Network) -> str:
    x = n.any()
    if n.maybe(3):
        return n.node("Div", [n.constant(np.float32(n.uniform(-2, 2))), bounded(n, x, (0.5, 3))])
    if n.maybe(3):
        return n.node("Div", [x, n.node("Add", [n.node("Abs", [x]), n.constant(np.float32(1))])])
    divisor = n.g.rng.uniform(0.5, 3, constant_shape(n, n.shape(x))) * n.pick(1, -1)
    return n.node("Div", [x, n.constant(divisor)])


def power(n: Network) -> str:
    x = n.any()
    if n.maybe(4):
        return n.node("Pow", [n.constant(np.float32(n.uniform(0.5, 2))), bounded(n, x, (-3, 3))])
    exponent = n.pick(2.0, 3.0, -1.0, 0.5, 1.5)
    low = -3 if exponent in (2, 3) else 0.25
    return n.node("Pow", [bounded(n, x, (low, 3)), n.constant(np.float32(exponent))])


def prelu(n: Network) -> str:
    x = n.any()
    if n.maybe(6):
        return n.node("PRelu", [x, n.which(lambda v: n.shape(v) == n.shape(x))])
    low, high = n.pick((0, 1), (0.1, 0.3), (1.5, 3), (-2, 2))
    shape = (n.shape(x)[1], 1, 1) if n.is_image(x) and n.maybe() else constant_shape(n, n.shape(x))
    return n.node("PRelu", [x, n.constant(n.g.rng.uniform(low, high, shape))])


# --- chains that are one table --------------------------------------------------------------------------


def chain(n: Network) -> str:
    """SiLU, HardSwish and Gelu as exporters write them."""
    x = n.any()

    def scalar(value: float) -> str:
        return n.constant(np.float32(value))

    which = n.pick("silu", "hard swish", "clip", "erf", "tanh")
    if which == "silu":
        return n.node("Mul", [x, n.node("Sigmoid", [x])])
    if which == "hard swish":
        return n.node("Mul", [n.node("HardSigmoid", [x], alpha=1 / 6), x])
    if which == "clip":
        inner = n.node("Clip", [n.node("Add", [x, scalar(3)]), scalar(0), scalar(6)])
        return n.node("Div", [n.node("Mul", [x, inner]), scalar(6)])
    if which == "erf":
        inner = n.node("Add", [n.node("Erf", [n.node("Div", [x, scalar(2**0.5)])]), scalar(1)])
        return n.node("Mul", [n.node("Mul", [x, inner]), scalar(0.5)])
    x = bounded(n, x, (-8, 8))
    cube = n.node("Mul", [n.node("Pow", [x, scalar(3)]), scalar(0.044715)])
    inner = n.node("Tanh", [n.node("Mul", [n.node("Add", [x, cube]), scalar((2 / np.pi) ** 0.5)])])
    return n.node("Mul", [n.node("Mul", [x, scalar(0.5)]), n.node("Add", [inner, scalar(1)])])


def choice(op: str, n: Network) -> str:
    """A piecewise function of one tensor, whose condition is or holds a comparison `op`, or the logical operator."""
    x = n.any()

    def number() -> str:  # its own, so that no value in here is read by another function too
        return n.constant(np.float32(n.g.rng.uniform(-1, 1)))

    def compared(by: str) -> str:
        return n.node(by, [x, number()])

    comparison = op if op in COMPARISONS else n.pick(*COMPARISONS)
    condition = compared(comparison)
    if op in ("And", "Or"):
        condition = n.node(op, [condition, compared(n.pick(*COMPARISONS))])
    elif op == "Not":
        condition = n.node("Not", [condition])
    values = [x, number() if n.maybe() else n.node("Mul", [x, number()])]
    n.rng.shuffle(values)
    return n.node("Where", [condition, *values])


# --- at the end -----------------------------------------------------------------------------------------


def final(op: str, n: Network) -> None:
    """A function that the host does: its result is an output, or its ArgMax or another shape is."""
    x = n.which(lambda v: len(n.shape(v)) > 0)
    y = n.node(op, [x], axis=n.some(-len(n.shape(x)), len(n.shape(x)) - 1))
    if op in ("Softmax", "LogSoftmax") and n.maybe(3):
        n.node("ArgMax", [y], axis=0, keepdims=n.pick(1, 0))
    elif n.maybe(3):
        n.node("Reshape", [y, n.constant([-1])])


OPERATORS: dict[str, Callable[[Network], str | None]] = {
    **LAYERS,
    **MOVES,
    **{op: partial(unary, op) for op in UNARY},
    **{op: partial(binary, op) for op in ("Add", "Sub", "Mul")},
    **{op: partial(variadic, op) for op in ("Max", "Min", "Sum", "Mean")},
    **{op: partial(final, op) for op in ("Softmax", "LogSoftmax", "ArgMax", "ArgMin")},
    **{op: partial(choice, op) for op in (*COMPARISONS, "And", "Or", "Not", "Where")},
    "Clip": clip,
    "Div": div,
    "Pow": power,
    "PRelu": prelu,
    "chains": chain,
}
