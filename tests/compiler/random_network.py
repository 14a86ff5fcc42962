"""A graph that grows by what is drawn: values with their shapes, and steps that leave nothing where they fail.

Shapes come from ONNX's own inference. How operators are drawn is in `random_layers`, `random_moves` and
`random_operators`; whole networks are in `random_graphs`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from graphs import GraphBuilder
from onnx import helper

Shape = tuple[int, ...]
LARGEST = 16_000  # values of one tensor
SMALL = 1024  # values that any rearrangement may move


class Undone(Exception):
    """What was drawn has no result, or one that is too large."""


class Network:
    """A graph that grows; `values` may be read by further operators, `ends` only by the user."""

    def __init__(self, rng: random.Random) -> None:
        """An image and sometimes a state or a sequence as inputs."""
        self.rng = rng
        self.opset = self.pick(17, 18, 20, 22, 24)
        self.g = GraphBuilder("random", rng.randrange(1 << 16))
        self.types: dict[str, onnx.TypeProto] = {}
        self.values: list[str] = []
        self.ends: list[str] = []
        size = self.some(4, 20), self.some(4, 20)
        channels = self.some(1, 40)
        if self.maybe(8):  # channels last, as TensorFlow has it
            image = self.input("image", (1, *size, channels), keep=False)
            self.keep(self.node("Transpose", [image], perm=[0, 3, 1, 2]))
        else:
            self.input("image", (1, channels, *size))
        if self.maybe(3):
            self.input("state", (self.pick(1, 1, 5), self.some(1, 30)))
        if self.maybe(4):
            self.input("sequence", (1, self.some(1, 20), self.some(2, 30)))

    # --- draws ---

    def pick(self, *options: Any) -> Any:
        """One of the options; a failing test shrinks to the first."""
        return self.rng.choice(options)

    def some(self, low: int, high: int) -> int:
        """A number from `low` to `high`."""
        return self.rng.randint(low, high)

    def maybe(self, n: int = 2) -> bool:
        """True once in n draws."""
        return self.rng.randrange(n) == n - 1

    def uniform(self, low: float, high: float) -> float:
        """A number in steps of 1/64 of the interval."""
        return low + (high - low) * self.some(0, 64) / 64

    # --- values ---

    def shape(self, x: str) -> Shape:
        """The shape of a value."""
        return tuple(d.dim_value for d in self.types[x].tensor_type.shape.dim)

    def size(self, x: str) -> int:
        """How many elements a value has."""
        return math.prod(self.shape(x))

    def which(self, suits: Callable[[str], bool]) -> str:
        """A value that suits, later ones more often."""
        found = [v for v in self.values if suits(v)]
        if not found:
            raise Undone
        return found[max(self.rng.randrange(len(found)), self.rng.randrange(len(found)))]

    def any(self) -> str:
        """Any value."""
        return self.which(lambda v: True)

    def image(self) -> str:
        """A value [1, C, H, W]."""
        return self.which(self.is_image)

    def is_image(self, x: str) -> bool:
        """Whether the device sees a value as rows of pixels."""
        return len(self.shape(x)) == 4 and self.shape(x)[0] == 1

    def small(self) -> str:
        """A value whose elements may move in any way, of at least one axis."""
        return self.which(lambda v: self.size(v) <= SMALL and len(self.shape(v)) > 0)

    def channel_axis(self, x: str) -> int:
        """Which axis the device has as channels."""
        return 1 if self.is_image(x) else len(self.shape(x)) - 1

    def keep(self, x: str) -> str:
        """Let further operators read a value."""
        self.values.append(x)
        return x

    # --- the graph ---

    def input(self, name: str, shape: Shape, *, keep: bool = True) -> str:
        """A model input."""
        self.types[name] = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, shape)
        self.g.input(name, shape)
        return self.keep(name) if keep else name

    def constant(self, values: Any) -> str:
        """An initializer: floats as float32, integers as int64."""
        array = np.asarray(values)
        name = self.g.constant(array.astype(np.float32) if array.dtype.kind == "f" else array)
        self.types[name] = helper.make_tensor_type_proto(self.g.constants[-1].data_type, array.shape)
        return name

    def noise(self, *shape: int) -> str:
        """A constant of normal random numbers."""
        return self.constant(self.g.rng.standard_normal(shape))

    def node(self, op: str, inputs: Sequence[str], *, results: int = 1, limit: int = LARGEST, **attributes: Any) -> str:
        """A node; the name of its first result (others have it with .1, .2, ... behind)."""
        first = self.g.node(op, list(inputs), **attributes)
        node = self.g.nodes[-1]
        node.output.extend(f"{first}.{i}" for i in range(1, results))
        constants = {t.name: t for t in self.g.constants}
        schema = onnx.defs.get_schema(op, self.opset)
        opset = [helper.make_opsetid("", self.opset)]
        types = {n: self.types[n] for n in node.input if n}
        self.types |= onnx.shape_inference.infer_node_outputs(schema, node, types, constants, None, opset)
        for name in node.output:
            self.g.types[name] = self.types[name].tensor_type.elem_type
            if min(self.shape(name), default=1) < 1 or self.size(name) > limit:
                raise Undone
        return first

    def step(self, draw: Callable[[Network], str | None]) -> None:
        """Draw an operator; nothing is left of one that is undone."""
        nodes, constants = len(self.g.nodes), len(self.g.constants)
        inputs, values, ends = len(self.g.inputs), len(self.values), len(self.ends)
        try:
            made = draw(self)
            if made is not None:
                self.keep(made)
        except Undone:
            del self.g.nodes[nodes:], self.g.constants[constants:], self.g.inputs[inputs:]
            del self.values[values:], self.ends[ends:]

    def model(self) -> onnx.ModelProto:
        """The model; what nothing reads is its output."""
        read = {name for node in self.g.nodes for name in node.input}
        self.g.inputs = [i for i in self.g.inputs if i.name in read]
        made = [name for node in self.g.nodes for name in node.output]
        return self.g.model(*(n for n in made if n not in read), opset=self.opset)
