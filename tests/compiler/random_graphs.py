"""Seeded random networks of every operator, for tests that must hold on any graph."""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder

Size = tuple[int, int]


class _Maker:
    """Grows a graph from a pool of images of known size, then joins some of them in a head."""

    def __init__(self, seed: int) -> None:
        self.g = GraphBuilder(f"random_{seed}", seed)
        self.rng = np.random.default_rng(seed)
        size = int(self.rng.integers(5, 25)), int(self.rng.integers(5, 25))
        channels = int(self.rng.integers(1, 40))
        self.images: list[tuple[str, Size]] = [(self.g.input("image", (1, channels, *size)), size)]

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def some(self, low, high):
        return int(self.rng.integers(low, high))

    def any_image(self):
        return self.images[self.rng.integers(len(self.images))]

    def conv(self):
        x, (h, w) = self.any_image()
        c = self.g.channels[x]
        kernel, stride, dilation = self.pick(1, 1, 2, 3, 3, 5), self.pick(1, 1, 1, 2, 2, 3), self.pick(1, 1, 2)
        groups = [n for n in range(1, c + 1) if c % n == 0]
        group = self.pick(1, 1, c, self.pick(*groups))
        out = c if group == c else group * self.some(1, 50 // group + 2)
        pads = [self.some(0, kernel) for _ in range(4)]
        extent = (kernel - 1) * dilation + 1
        new = tuple((n + a + b - extent) // stride + 1 for n, a, b in ((h, pads[0], pads[2]), (w, pads[1], pads[3])))
        if min(new) < 1:
            return
        relu = bool(self.rng.random() < 0.5)
        y = self.g.conv(x, out, kernel, stride, group=group, relu=relu, pads=pads, dilations=[dilation] * 2)
        self.images.append((y, new))

    def pool(self):
        x, (h, w) = self.any_image()
        kernel, stride, pad = self.pick(2, 3), self.pick(1, 2, 3), self.some(0, 2)
        new = tuple((n + 2 * pad - kernel) // stride + 1 for n in (h, w))
        if min(new) < 1:
            return
        extra = self.pick({}, {"count_include_pad": 1}) if pad == 0 else {"count_include_pad": 1}
        op = self.pick("MaxPool", "AveragePool")
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        y = self.g.node(op, [x], **attributes, **(extra if op == "AveragePool" else {}))
        self.images.append((y, new))

    def pad(self):
        x, (h, w) = self.any_image()
        top, left, bottom, right = (self.some(0, 3) for _ in range(4))
        amounts = self.g.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
        y = self.g.node("Pad", [x, amounts, self.g.constant(np.float32(self.pick(0, 0.7)))])
        self.images.append((y, (h + top + bottom, w + left + right)))

    def unary(self):
        x, size = self.any_image()
        op = self.pick("Sigmoid", "Tanh", "LeakyRelu", "Relu", "Clip", "Mul")
        limits = [self.g.constant(np.float32(v)) for v in (-0.3, 1.1)] if op == "Clip" else []
        factor = [self.g.constant(np.float32(-1.3))] if op == "Mul" else []
        self.images.append((self.g.node(op, [x, *limits, *factor]), size))

    def same_size(self, join):
        x, size = self.any_image()
        channels = self.g.channels
        others = [y for y, s in self.images if s == size and (join == "Concat" or channels[y] == channels[x])]
        other = others[self.rng.integers(len(others))]
        if join == "Concat":
            self.images.append((self.g.node("Concat", [x, other], channels[x] + channels[other], axis=1), size))
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
    steps = (m.conv, m.conv, m.conv, m.pool, m.pad, m.unary, lambda: m.same_size("Add"), lambda: m.same_size("Concat"))
    for _ in range(m.some(3, 10)):
        m.pick(*steps)()
    outputs = [m.head()]
    if m.rng.random() < 0.5 and len(m.images) > 1:
        outputs.append(m.images[-1][0])
    return m.g.model(*outputs)
