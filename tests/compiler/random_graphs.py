"""Seeded random networks of every operator, for tests that must hold on any graph."""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder


class _Maker:
    """Grows a graph from a pool of images of known size, then joins some of them in a head."""

    def __init__(self, seed: int) -> None:
        self.g = GraphBuilder(f"random_{seed}", seed)
        self.rng = np.random.default_rng(seed)
        size = int(self.rng.integers(5, 25)), int(self.rng.integers(5, 25))
        channels = int(self.rng.integers(1, 40))
        self.images = [(self.g.input("image", (1, channels, *size)), size)]

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def conv(self):
        x, (h, w) = self.images[self.rng.integers(len(self.images))]
        c = self.g.channels[x]
        kernel, stride, dilation = (
            int(self.pick(1, 1, 2, 3, 3, 5)),
            int(self.pick(1, 1, 1, 2, 2, 3)),
            int(self.pick(1, 1, 2)),
        )
        depthwise = bool(self.rng.random() < 0.25)
        out = c if depthwise else int(self.rng.integers(1, 50))
        pads = [int(self.rng.integers(0, kernel)) for _ in range(4)]
        extent = (kernel - 1) * dilation + 1
        new = tuple((n + a + b - extent) // stride + 1 for n, a, b in ((h, pads[0], pads[2]), (w, pads[1], pads[3])))
        if min(new) < 1:
            return
        y = self.g.conv(
            x,
            out,
            kernel,
            stride,
            group=c if depthwise else 1,
            relu=bool(self.rng.random() < 0.5),
            pads=pads,
            dilations=[dilation, dilation],
        )
        self.images.append((y, new))

    def pool(self):
        x, (h, w) = self.images[-1]
        kernel, stride = int(self.pick(2, 3)), int(self.pick(1, 2, 3))
        new = tuple((n - kernel) // stride + 1 for n in (h, w))
        if min(new) >= 1:
            y = self.g.node("MaxPool", [x], kernel_shape=[kernel, kernel], strides=[stride, stride])
            self.images.append((y, new))

    def unary(self):
        x, size = self.images[self.rng.integers(len(self.images))]
        self.images.append((self.g.node(self.pick("Sigmoid", "Tanh", "LeakyRelu"), [x]), size))

    def same_size(self, join):
        x, size = self.images[-1]
        others = [
            y for y, s in self.images if s == size and (join == "Concat" or self.g.channels[y] == self.g.channels[x])
        ]
        other = others[self.rng.integers(len(others))]
        if join == "Concat":
            self.images.append(
                (self.g.node("Concat", [x, other], self.g.channels[x] + self.g.channels[other], axis=1), size)
            )
        else:
            self.images.append((self.g.node("Add", [x, other]), size))

    def head(self):
        parts = []
        for x, (h, w) in self.images[-2:]:
            k = self.g.channels[x] * h * w
            if k <= 6000:
                parts.append((self.g.node("Flatten", [x], k), k))
            else:
                parts.append((self.g.node("Flatten", [self.g.node("GlobalAveragePool", [x])]), self.g.channels[x]))
        parts.append((self.g.input("state", (1, 11)), 11))
        total = sum(k for _, k in parts)
        return self.g.gemm(self.g.node("Concat", [p for p, _ in parts], total, axis=1), total, 9, relu=False)


def random_graph(seed: int) -> onnx.ModelProto:
    m = _Maker(seed)
    m.conv()
    for _ in range(int(m.rng.integers(3, 10))):
        m.pick(m.conv, m.conv, m.conv, m.pool, m.unary, lambda: m.same_size("Add"), lambda: m.same_size("Concat"))()
    outputs = [m.head()]
    if m.rng.random() < 0.5 and len(m.images) > 1:
        outputs.append(m.images[-1][0])
    return m.g.model(*outputs)
