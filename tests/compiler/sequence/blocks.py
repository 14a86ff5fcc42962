"""Transformer blocks of random weights from ONNX's own operators, as the rewrites leave them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from graphs import GraphBuilder

__all__ = ["Block", "Sequence"]

OPSET = 23


class Sequence(GraphBuilder):
    """A graph of values [1, length, channels]."""

    def linear(self, x: str, k: int, n: int, *, bias: bool = True, factor: Any = 1) -> str:
        """A layer; `factor` of its weights [k, n]."""
        y = self.node("MatMul", [x, self.constant(self.weight(n, k).T * factor / np.float32(2**0.5))], n)
        return self.node("Add", [y, self.constant(0.1 * self.normal(n))], n) if bias else y

    def normal(self, *shape: int) -> Any:
        return self.rng.standard_normal(shape).astype(np.float32)

    def norm(self, x: str, d: int, *, rms: bool = False) -> str:
        gamma = self.constant(1 + 0.3 * self.normal(d))
        if rms:
            return self.node("RMSNormalization", [x, gamma], d, epsilon=1e-6)
        return self.node("LayerNormalization", [x, gamma, self.constant(0.2 * self.normal(d))], d, epsilon=1e-5)

    def split(self, x: str, length: int, heads: int, d: int) -> str:
        """[1, length, heads * d] as [1, heads, length, d], as PyTorch modules do."""
        y = self.node("Reshape", [x, self.constant(np.array([1, length, heads, d]))], d)
        return self.node("Transpose", [y], d, perm=[0, 2, 1, 3])

    def joined(self, x: str, length: int, width: int) -> str:
        """Heads side by side again."""
        y = self.node("Transpose", [x], width, perm=[0, 2, 1, 3])
        return self.node("Reshape", [y, self.constant(np.array([1, length, width]))], width)

    def embedding(self, numbers: str, rows: int, d: int) -> str:
        return self.node("Gather", [self.constant(self.normal(rows, d)), numbers], d)

    def numbers(self, name: str, length: int) -> str:
        """A model input of int64 numbers."""
        self.inputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, (1, length)))
        return name

    def finished(self, *outputs: str) -> onnx.ModelProto:
        return self.model(*outputs, opset=OPSET)


@dataclass(frozen=True)
class Block:
    """A pre-norm block: x + O(attention(norm x)), then x + down(gelu(up(norm x)))."""

    length: int = 13
    channels: int = 40
    heads: int = 2
    key_heads: int = 2
    causal: bool = False
    mask: Any = None
    rms: bool = False
    packed: bool = False  # one projection for queries, keys and values
    gelu: str = "Gelu"
    rotary: int = 0  # channels of a head that are rotated
    interleaved: bool = False
    outliers: bool = False  # one in eight hidden channels is 20 times the others

    def __str__(self) -> str:
        mask = [] if self.mask is None else [f"mask{np.shape(self.mask)}".replace(" ", "")]
        rest = [f"{k}={v}" for k, v in vars(self).items() if k != "mask" and v != getattr(Block, k)]
        return "-".join([*rest, *mask]) or "plain"

    def add(self, g: Sequence, x: str) -> str:
        """The block behind x; returns its result."""
        d, wide = self.channels, self.channels // self.heads * self.key_heads
        y = g.norm(x, d, rms=self.rms)
        if self.packed:
            whole = g.linear(y, d, d + 2 * wide)
            sizes = g.constant(np.array([d, wide, wide]))
            g.nodes.append(
                onnx.helper.make_node("Split", [whole, sizes], parts := [f"{whole}.{i}" for i in "qkv"], axis=2)
            )
        else:
            parts = [g.linear(y, d, n) for n in (d, wide, wide)]
        for i, heads in enumerate((self.heads, self.key_heads) if self.rotary else ()):
            parts[i] = self.rotated(g, parts[i], heads)
        if self.mask is not None:
            parts.append(g.constant(np.asarray(self.mask)))
        heads = {"q_num_heads": self.heads, "kv_num_heads": self.key_heads}
        a = g.node("Attention", parts, d, is_causal=int(self.causal), **heads)
        x = g.node("Add", [x, g.linear(a, d, d)], d)
        size = np.where(self.outliers & (np.arange(3 * d) % 8 == 0), 20, 1).astype(np.float32)
        up = g.linear(g.norm(x, d, rms=self.rms), d, 3 * d, factor=size)
        hidden = g.node(self.gelu, [up], 3 * d)
        return g.node("Add", [x, g.linear(hidden, 3 * d, d, factor=1 / size[:, None])], d)

    def rotated(self, g: Sequence, x: str, heads: int) -> str:
        """Rotary positions of x, with ONNX's own operator."""
        steps = 100.0 ** (-np.arange(self.rotary // 2) / (self.rotary // 2))
        angles = np.outer(np.arange(self.length), steps)[None]
        tables = [g.constant(f(angles).astype(np.float32)) for f in (np.cos, np.sin)]
        partial = {} if self.rotary == self.channels // self.heads else {"rotary_embedding_dim": self.rotary}
        return g.node("RotaryEmbedding", [x, *tables], num_heads=heads, interleaved=int(self.interleaved), **partial)

    def model(self) -> onnx.ModelProto:
        """The block alone."""
        g = Sequence("block")
        return g.finished(self.add(g, g.input("x", (1, self.length, self.channels))))
