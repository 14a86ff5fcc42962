"""Mixtures of experts from ONNX's own operators: a router's logits are the first channels of its input."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from blocks import Sequence

__all__ = [
    "EXPERTS",
    "chosen_image",
    "chosen_result",
    "chosen_rows",
    "expert_layer",
    "only_gates",
    "routing",
    "several_layers",
    "several_routers",
    "static",
    "token_mixture",
]

EXPERTS, TEXT, D, HIDDEN = 4, 12, 24, 40


def routing(number: int, rng: np.random.Generator, experts: int = EXPERTS) -> np.ndarray:
    """A router's input for which an expert is chosen."""
    text = rng.uniform(-1, 1, (1, TEXT)).astype(np.float32)
    text[0, :experts] = -1
    text[0, number] = 1
    return text


def router(g: Sequence, text: str, experts: int = EXPERTS) -> str:
    """The number of the largest of the first channels."""
    logits = g.node("MatMul", [text, g.constant(np.eye(TEXT, experts, dtype=np.float32))], experts)
    row = g.node("Reshape", [logits, g.constant(np.array([experts]))], experts)
    return g.node("ArgMax", [row], 1, axis=0, keepdims=0)


def expert_layer(g: Sequence, x: str, number: str, k: int, n: int, experts: int = EXPERTS) -> str:
    """A layer [k, n] whose weight and bias are the chosen expert's."""
    weights = np.stack([g.weight(n, k).T / np.float32(2**0.5) for _ in range(experts)])
    w, b = (g.node("Gather", [g.constant(a), number], n) for a in (weights, 0.3 * g.normal(experts, n)))
    return g.node("Gemm", [x, w, b], n)


def chosen_rows(rows: int = 5) -> onnx.ModelProto:
    """Two layers of an expert over some rows, a layer behind them."""
    g = Sequence("chosen rows")
    x, text = g.input("x", (rows, D)), g.input("text", (1, TEXT))
    number = router(g, text)
    hidden = g.node("Relu", [expert_layer(g, x, number, D, HIDDEN)], HIDDEN)
    y = expert_layer(g, hidden, number, HIDDEN, D)
    return g.finished(g.linear(g.node("Relu", [y], D), D, 8, bias=False))


def chosen_image() -> onnx.ModelProto:
    """Two convolutions, each of an expert, and a plain one between them."""
    g = Sequence("chosen image")
    x, text = g.input("x", (1, 6, 14, 14)), g.input("text", (1, TEXT))
    number = router(g, text)

    def conv(x: str, i: int, o: int, stride: int, experts: int) -> str:
        w, b = g.normal(experts, o, i, 3, 3) / (3 * i**0.5), 0.3 * g.normal(experts, o)
        if experts == 1:
            parts = [g.constant(a[0]) for a in (w, b)]
        else:
            parts = [g.node("Gather", [g.constant(a), number], o) for a in (w, b)]
        return g.node("Relu", [g.node("Conv", [x, *parts], o, strides=[stride] * 2, pads=[1] * 4)], o)

    y = conv(conv(conv(x, 6, 20, 1, EXPERTS), 20, 24, 2, 1), 24, 10, 2, EXPERTS)
    return g.finished(y)


def chosen_result() -> onnx.ModelProto:
    """A layer of an expert behind a norm, whose result is the model's, an int16."""
    g = Sequence("chosen result")
    x, text = g.linear(g.input("x", (7, D)), D, D), g.input("text", (1, TEXT))
    y = g.node("Add", [x, expert_layer(g, g.norm(x, D), router(g, text), D, D)], D)
    return g.finished(y)


def several_layers() -> onnx.ModelProto:
    """Convolutions that a router's numbers choose, one for each layer: rows of logits that are the first channels."""
    g = Sequence("several layers")
    x, text = g.input("x", (1, 6, 9, 9)), g.input("text", (1, TEXT))
    logits = g.node("MatMul", [text, g.constant(np.eye(TEXT, dtype=np.float32))], TEXT)
    rows = g.node("Reshape", [logits, g.constant(np.array([3, EXPERTS]))], EXPERTS)
    for i in range(3):
        row = g.node("Gather", [rows, g.constant(np.array(i))], EXPERTS, axis=0)
        number = g.node("ArgMax", [row], 1, axis=0, keepdims=0)
        arrays = g.normal(EXPERTS, 6, 6, 3, 3) / 7, 0.3 * g.normal(EXPERTS, 6)
        parts = [g.node("Gather", [g.constant(a), number], 6) for a in arrays]
        x = g.node("Relu", [g.node("Conv", [x, *parts], 6, pads=[1] * 4)], 6)
    return g.finished(x)


def several_routers(order: tuple[int, ...] = (0, 1, 2, 0)) -> onnx.ModelProto:
    """Layers whose experts are chosen by several numbers in turn: more than there are registers."""
    g = Sequence("several routers")
    x = g.input("x", (3, D))
    numbers = [router(g, g.input(f"text{i}", (1, TEXT)), 3) for i in range(1 + max(order))]
    for i in order:
        x = g.node("Relu", [expert_layer(g, x, numbers[i], D, D, 3)], D)
    return g.finished(x)


def static(qdq: onnx.ModelProto, numbers: list[int]) -> onnx.ModelProto:
    """A quantized model whose routers always choose these experts: their integers alone, without routers."""
    out = onnx.ModelProto()
    out.CopyFrom(qdq)
    arrays: dict[str, Any] = {t.name: onnx.numpy_helper.to_array(t) for t in out.graph.initializer}
    makers = {name: node for node in out.graph.node for name in node.output}
    routers = [n.output[0] for n in out.graph.node if n.op_type == "ArgMax"]
    given, kept = dict(zip(routers, numbers, strict=True)), []
    for node in out.graph.node:
        if node.op_type == "Gather" and node.input[1] in given:
            whole = makers[node.input[0]]
            (axis,) = [a.i for a in whole.attribute if a.name == "axis"]
            name = f"{node.output[0]}.integers"
            integers = np.ascontiguousarray(arrays[whole.input[0]][given[node.input[1]]])
            out.graph.initializer.append(onnx.numpy_helper.from_array(integers, name))
            kept.append(onnx.helper.make_node("DequantizeLinear", [name, whole.input[1]], node.output, axis=axis - 1))
        else:
            kept.append(node)
    del out.graph.node[:]
    out.graph.node.extend(kept)
    _drop_unused(out)
    return out


def _drop_unused(model: onnx.ModelProto) -> None:
    """Leave out the nodes and inputs that no output needs."""
    wanted = {o.name for o in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.insert(0, node)
    inputs = [v for v in model.graph.input if v.name in wanted]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(kept)
    model.graph.input.extend(inputs)


def gates(g: Sequence, logits: str, shape: tuple[int, ...], k: int, *, among: bool = True) -> str:
    """Gates of logits of a shape [..., E], as they are after the rewrites."""
    source = logits if among else g.node("Softmax", [logits], shape[-1], axis=-1)
    g.nodes.append(
        onnx.helper.make_node("TopK", [source, g.constant(np.array([k]))], [f"{logits}.values", f"{logits}.indices"])
    )
    values = g.node("Softmax", [f"{logits}.values"], k, axis=-1) if among else f"{logits}.values"
    zeros = g.constant(np.zeros(shape, np.float32))
    return g.node("ScatterElements", [zeros, f"{logits}.indices", values], shape[-1], axis=-1)


def only_gates(experts: int, k: int, *, among: bool = True, length: int = 9) -> onnx.ModelProto:
    """Gates of the first channels."""
    g = Sequence("gates")
    x = g.input("x", (1, length, D))
    logits = g.node("MatMul", [x, g.constant(np.eye(D, experts, dtype=np.float32))], experts)
    return g.finished(gates(g, logits, (1, length, experts), k, among=among))


def token_mixture(length: int = 11, k: int = 2, *, among: bool = True, gated: bool = False) -> onnx.ModelProto:
    """x + the sum of gate times expert of a norm of x, for each token; `gated` experts are SwiGLU without biases."""
    g = Sequence("token mixture")
    x = g.input("x", (1, length, D))
    y = g.norm(x, D, rms=gated)
    shares = gates(g, g.linear(y, D, EXPERTS, bias=False, factor=4), (1, length, EXPERTS), k, among=among)
    out = x
    for e in range(EXPERTS):
        if gated:
            a = g.linear(y, D, HIDDEN, bias=False)
            a = g.node("Mul", [a, g.node("Sigmoid", [a], HIDDEN)], HIDDEN)
            hidden = g.node("Mul", [a, g.linear(y, D, HIDDEN, bias=False)], HIDDEN)
        else:
            hidden = g.node("Gelu", [g.linear(y, D, HIDDEN)], HIDDEN)
        bounds = [g.constant(np.array([n])) for n in (e, e + 1, 2)]
        gate = g.node("Slice", [shares, *bounds], 1)
        out = g.node("Add", [out, g.node("Mul", [gate, g.linear(hidden, HIDDEN, D, bias=not gated)], D)], D)
    return g.finished(out)
