"""Well-known image networks at 224x224 as ONNX graphs with seeded random weights.

Shapes are those of the papers; weights are He-scaled (He et al. 2015), so activations keep their size and
quantization is as hard as in a trained network of that shape. Batch norms are kept where `batch_norm` writes
them and stand folded elsewhere. Not here: trained weights, policies.
"""

from __future__ import annotations

import numpy as np
import onnx
from graphs import GraphBuilder

__all__ = [
    "NETWORKS",
    "densenet121",
    "inception_v1",
    "mobilenet_v2",
    "resnet50",
    "shufflenet_v1",
    "shufflenet_v2",
    "squeezenet",
    "vgg11",
    "vit_s16",
]

CLASSES = 1000


def _image(g: GraphBuilder, size: int) -> str:
    return g.input("image", (1, 3, size, size))


def _max_pool(g: GraphBuilder, x: str, kernel: int = 3, stride: int = 2, pad: int = 1) -> str:
    return g.node("MaxPool", [x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)


def _relu6(g: GraphBuilder, x: str) -> str:
    return g.node("Clip", [x, g.constant(np.float32(0)), g.constant(np.float32(6))])


def _batch_norm(g: GraphBuilder, x: str) -> str:
    """BatchNormalization with statistics near those of its input (mean 0.3, variance 0.5)."""
    c = g.channels[x]
    arrays = (
        g.rng.uniform(0.8, 1.2, c),
        g.rng.standard_normal(c) * 0.1,
        g.rng.standard_normal(c) * 0.1 + 0.3,
        g.rng.uniform(0.4, 0.6, c),
    )
    return g.node("BatchNormalization", [x, *(g.constant(a.astype(np.float32)) for a in arrays)])


def _classifier(g: GraphBuilder, x: str) -> onnx.ModelProto:
    k = g.channels[x]
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])])
    return g.model(g.gemm(x, k, CLASSES, relu=False))


def vgg11(size: int = 224) -> onnx.ModelProto:
    """VGG-11, configuration A (Simonyan and Zisserman 2015)."""
    g = GraphBuilder("vgg11")
    x = _image(g, size)
    for outs in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for out in outs:
            x = g.conv(x, out)
        x = _max_pool(g, x, 2, 2, 0)
    k = 512 * (size // 32) ** 2
    x = g.node("Flatten", [x], k)
    x = g.gemm(g.gemm(x, k, 4096), 4096, 4096)
    return g.model(g.gemm(x, 4096, CLASSES, relu=False))


def resnet50(size: int = 224) -> onnx.ModelProto:
    """ResNet-50 (He et al. 2016), stride in the 3x3 convolution, batch norms folded."""
    g = GraphBuilder("resnet50")
    x = _max_pool(g, g.conv(_image(g, size), 64, 7, 2))
    for width, blocks, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for stride in (first, *(1,) * (blocks - 1)):
            y = g.conv(g.conv(g.conv(x, width, 1), width, 3, stride), width * 4, 1, relu=False)
            skip = x if g.channels[x] == width * 4 else g.conv(x, width * 4, 1, stride, relu=False)
            x = g.node("Relu", [g.node("Add", [y, skip])])
    return _classifier(g, x)


def mobilenet_v2(size: int = 224) -> onnx.ModelProto:
    """MobileNetV2 (Sandler et al. 2018)."""
    g = GraphBuilder("mobilenet_v2")
    x = _relu6(g, g.conv(_image(g, size), 32, 3, 2, relu=False))
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, out, blocks, first in plan:
        for stride in (first, *(1,) * (blocks - 1)):
            hidden = g.channels[x] * expand
            y = _relu6(g, g.conv(x, hidden, 1, relu=False)) if expand > 1 else x
            y = _relu6(g, g.conv(y, hidden, 3, stride, group=hidden, relu=False))
            y = g.conv(y, out, 1, relu=False)
            x = g.node("Add", [x, y]) if stride == 1 and g.channels[x] == out else y
    return _classifier(g, _relu6(g, g.conv(x, 1280, 1, relu=False)))


def squeezenet(size: int = 224) -> onnx.ModelProto:
    """SqueezeNet 1.1 (Iandola et al. 2016)."""
    g = GraphBuilder("squeezenet")
    x = g.conv(_image(g, size), 64, 3, 2, pads=[0] * 4)
    for number, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if number in (0, 2, 4):
            x = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        s = g.conv(x, squeeze, 1)
        x = g.node("Concat", [g.conv(s, expand, 1), g.conv(s, expand, 3)], 2 * expand, axis=1)
    x = g.node("Dropout", [x])
    x = g.node("GlobalAveragePool", [g.conv(x, CLASSES, 1)])
    return g.model(g.node("Flatten", [x]))


def _shuffle(g: GraphBuilder, x: str, groups: int, size: int) -> str:
    """Channel shuffle as PyTorch exports it: Reshape, Transpose, Reshape."""
    c = g.channels[x]
    split = g.node("Reshape", [x, g.constant(np.array([1, groups, c // groups, size, size]))])
    turned = g.node("Transpose", [split], perm=[0, 2, 1, 3, 4])
    return g.node("Reshape", [turned, g.constant(np.array([1, c, size, size]))], c)


def shufflenet_v1(size: int = 224) -> onnx.ModelProto:
    """ShuffleNet 1x with 3 groups (Zhang et al. 2018)."""
    g, groups = GraphBuilder("shufflenet_v1"), 3
    x = _max_pool(g, g.conv(_image(g, size), 24, 3, 2))
    size //= 4
    for out, blocks in ((240, 4), (480, 8), (960, 4)):
        for number in range(blocks):
            stride, c = 1 + (number == 0), g.channels[x]
            new, hidden = out - c * (number == 0), out // 4
            y = g.conv(x, hidden, 1, group=1 if c == 24 else groups)
            y = _shuffle(g, y, groups, size)
            y = g.conv(y, hidden, 3, stride, group=hidden, relu=False)
            y = g.conv(y, new, 1, group=groups, relu=False)
            if stride == 1:
                x = g.node("Relu", [g.node("Add", [x, y])])
                continue
            size //= 2
            skip = g.node("AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
            x = g.node("Relu", [g.node("Concat", [skip, y], out, axis=1)])
    return _classifier(g, x)


def shufflenet_v2(size: int = 224) -> onnx.ModelProto:
    """ShuffleNetV2 1x (Ma et al. 2018)."""
    g = GraphBuilder("shufflenet_v2")
    x = _max_pool(g, g.conv(_image(g, size), 24, 3, 2))
    size //= 4
    for out, blocks in ((116, 4), (232, 8), (464, 4)):
        half = out // 2
        for number in range(blocks):
            stride, c = 1 + (number == 0), g.channels[x]
            if stride == 2:
                keep = g.conv(g.conv(x, c, 3, 2, group=c, relu=False), half, 1)
                y = x
            else:
                keep, y = f"keep{len(g.nodes)}", f"work{len(g.nodes)}"
                sizes = g.constant(np.array([half, half]))
                g.nodes.append(onnx.helper.make_node("Split", [x, sizes], [keep, y], f"split{len(g.nodes)}", axis=1))
                g.channels[keep] = g.channels[y] = half
            y = g.conv(y, half, 1)
            y = g.conv(g.conv(y, half, 3, stride, group=half, relu=False), half, 1)
            size //= stride
            x = _shuffle(g, g.node("Concat", [keep, y], out, axis=1), 2, size)
    return _classifier(g, g.conv(x, 1024, 1))


def densenet121(size: int = 224) -> onnx.ModelProto:
    """DenseNet-121 (Huang et al. 2017), batch norms as nodes; every layer joins all before it, as in PyTorch."""
    g, growth = GraphBuilder("densenet121"), 32
    x = _max_pool(g, g.conv(_image(g, size), 64, 7, 2))
    for stage, layers in enumerate((6, 12, 24, 16)):
        parts = [x]
        for _ in range(layers):
            width = sum(g.channels[p] for p in parts)
            y = g.node("Concat", parts, width, axis=1) if len(parts) > 1 else x
            y = g.node("Relu", [_batch_norm(g, y)])
            y = g.node("Relu", [_batch_norm(g, g.conv(y, 4 * growth, 1, relu=False))])
            parts.append(g.conv(y, growth, 3, relu=False))
        x = g.node("Concat", parts, sum(g.channels[p] for p in parts), axis=1)
        x = g.node("Relu", [_batch_norm(g, x)])
        if stage < 3:
            x = g.conv(x, g.channels[x] // 2, 1, relu=False)
            x = g.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    return _classifier(g, x)


def inception_v1(size: int = 224) -> onnx.ModelProto:
    """Inception v1, GoogLeNet (Szegedy et al. 2015), without local response normalization and side outputs."""
    g = GraphBuilder("inception_v1")
    x = _max_pool(g, g.conv(_image(g, size), 64, 7, 2))
    x = _max_pool(g, g.conv(g.conv(x, 64, 1), 192, 3))
    modules = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    for number, (one, reduce3, three, reduce5, five, pool) in enumerate(modules):
        branches = [
            g.conv(x, one, 1),
            g.conv(g.conv(x, reduce3, 1), three, 3),
            g.conv(g.conv(x, reduce5, 1), five, 5),
            g.conv(_max_pool(g, x, 3, 1, 1), pool, 1),
        ]
        x = g.node("Concat", branches, one + three + five + pool, axis=1)
        if number in (1, 6):
            x = _max_pool(g, x)
    return _classifier(g, g.node("Dropout", [x]))


def _linear(g: GraphBuilder, x: str, n: int) -> str:
    """A matrix product over the last axis and its bias, Xavier-scaled (Glorot and Bengio 2010)."""
    w = g.constant(g.weight(n, g.channels[x]).T / np.float32(2**0.5))
    return g.node("Add", [g.node("MatMul", [x, w], n), g.constant((g.rng.standard_normal(n) * 0.1).astype(np.float32))])


def _layer_norm(g: GraphBuilder, x: str) -> str:
    d = g.channels[x]
    gamma, beta = (g.constant((a + 0.2 * g.rng.standard_normal(d)).astype(np.float32)) for a in (1, 0))
    return g.node("LayerNormalization", [x, gamma, beta], epsilon=1e-6)


def _heads(g: GraphBuilder, x: str, tokens: int, heads: int, order: list[int]) -> str:
    shape = g.constant(np.array([1, tokens, heads, g.channels[x] // heads]))
    return g.node("Transpose", [g.node("Reshape", [x, shape])], perm=order)


def _gelu(g: GraphBuilder, x: str) -> str:
    half, one, root = (g.constant(np.float32(v)) for v in (0.5, 1, 2**0.5))
    error = g.node("Add", [g.node("Erf", [g.node("Div", [x, root])]), one])
    return g.node("Mul", [g.node("Mul", [x, error]), half])


def vit_s16(size: int = 224, blocks: int = 12) -> onnx.ModelProto:
    """ViT-S/16 (Dosovitskiy et al. 2021; the S of Touvron et al. 2021), as PyTorch exports it."""
    g, d, heads = GraphBuilder("vit_s16"), 384, 6
    patches = (size // 16) ** 2
    x = g.conv(_image(g, size), d, 16, 16, relu=False, pads=[0] * 4)
    x = g.node("Transpose", [g.node("Reshape", [x, g.constant(np.array([1, d, patches]))])], perm=[0, 2, 1])
    x = g.node("Concat", [g.constant(g.weight(1, 1, d)), x], d, axis=1)
    x = g.node("Add", [x, g.constant(g.weight(1, patches + 1, d))])
    scale = g.constant(np.float32((d // heads) ** -0.5))
    for _ in range(blocks):
        y = _layer_norm(g, x)
        q, k, v = (
            _heads(g, _linear(g, y, d), patches + 1, heads, o) for o in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        p = g.node("Softmax", [g.node("Mul", [g.node("MatMul", [q, k]), scale])], axis=-1)
        a = g.node("Transpose", [g.node("MatMul", [p, v])], perm=[0, 2, 1, 3])
        a = g.node("Reshape", [a, g.constant(np.array([1, patches + 1, d]))], d)
        x = g.node("Add", [x, _linear(g, a, d)])
        hidden = _gelu(g, _linear(g, _layer_norm(g, x), 4 * d))
        x = g.node("Add", [x, _linear(g, hidden, d)])
    first = g.node("Gather", [_layer_norm(g, x), g.constant(np.array(0))], axis=1)
    return g.model(_linear(g, first, CLASSES))


NETWORKS = {
    "vgg11": vgg11,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "squeezenet": squeezenet,
    "shufflenet_v1": shufflenet_v1,
    "shufflenet_v2": shufflenet_v2,
    "densenet121": densenet121,
    "inception_v1": inception_v1,
    "vit_s16": vit_s16,
}
