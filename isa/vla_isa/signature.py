"""A model's own inputs and outputs, and what the host computes between them and the device's tensors.

The host's part is a list of small numpy functions (`host_functions.py`), each with the numbers of the values it reads:
the model's inputs are values 0, 1, ...; the result of operation i is value `len(inputs) + i`. So a normalization runs
in float in front of the device, a Concat behind it joins parts that keep a scale each, and an output may be a constant
or an input. Not here: the device's tensors (`program.py`), what may be in a file (`check_signature.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.host_functions import FUNCTIONS, MOVERS
from vla_isa.integer import INT8, IntType
from vla_isa.layout import TensorLayout
from vla_isa.numerics import quantize

__all__ = ["HostOp", "HostRun", "ModelOutput", "Signature", "Value", "moved_integers", "plain_signature", "to_device"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Value:
    """An input or output of the model: name, ONNX shape, numpy name of its dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class HostOp:
    """One function of the host.

    Attributes:
        function: a name of `host_functions.FUNCTIONS`; or "Device", the real numbers (float32) or the integers (int8,
            uint8) of an output of the device; or "Constant", an array of the signature.
        operands: the values it reads; all of them come before it.
        shape, dtype: the result's.
        numbers: what the function takes besides (see `host_functions.py`); of Device and Constant, which one.
    """

    function: str
    operands: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelOutput:
    """An output of the model: its name, and the value that it is."""

    name: str
    source: int


@dataclass
class Signature:
    """The model seen from outside.

    Attributes:
        inputs: in the model's order, also those that nothing reads.
        ops: what the host computes, in an order in which it can.
        feeds: for each input of the device the value it takes: float32 is quantized, int8 and uint8 are its integers.
        outputs: in the model's order.
        arrays: the constants.
    """

    inputs: list[Value]
    ops: list[HostOp]
    feeds: list[int]
    outputs: list[ModelOutput]
    arrays: list[Array] = field(default_factory=list)

    def value(self, number: int) -> Value | HostOp:
        """What is known of a value: the input, or the operation that makes it."""
        return self.inputs[number] if number < len(self.inputs) else self.ops[number - len(self.inputs)]

    @property
    def output_values(self) -> list[Value]:
        """The model's outputs with shape and dtype."""
        found = [(o.name, self.value(o.source)) for o in self.outputs]
        return [Value(name, v.shape, v.dtype) for name, v in found]

    def needed(self, targets: list[int]) -> list[int]:
        """The values that `targets` are computed from, themselves included, in order."""
        first, found, waiting = len(self.inputs), set[int](), list(targets)
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting += self.ops[number - first].operands if number >= first else ()
        return sorted(found)

    @property
    def unused(self) -> set[str]:
        """Names of inputs that neither the device nor an output needs."""
        used = self.needed([*self.feeds, *(o.source for o in self.outputs)])
        return {v.name for i, v in enumerate(self.inputs) if i not in used}

    def device_outputs(self, source: int) -> list[int]:
        """Which outputs of the device a value is made of, in order."""
        first = len(self.inputs)
        ops = [self.ops[n - first] for n in self.needed([source]) if n >= first]
        return list(dict.fromkeys(op.numbers[0] for op in ops if op.function == "Device"))

    def steps(self, source: int) -> list[str]:
        """What the host computes for a value, for a person: names of functions in order."""
        first = len(self.inputs)
        ops = [self.ops[n - first] for n in self.needed([source]) if n >= first]
        return [op.function for op in ops if op.function not in ("Device", "Constant")]

    def only_moves(self, source: int) -> bool:
        """Whether a value is elements of device outputs, moved: then it has integers of its own."""
        first = len(self.inputs)
        numbers = self.needed([source])
        return numbers[0] >= first and all(self.ops[n - first].function in ("Device", *MOVERS) for n in numbers)


class HostRun:
    """The host's values of one run: what the device takes first, then what the model returns."""

    def __init__(self, signature: Signature, inputs: Mapping[str, Array]) -> None:
        """`inputs`: by the model's names, in its shapes and dtypes; those that are not needed may be left out."""
        self._signature = signature
        self._known = {i: inputs[v.name] for i, v in enumerate(signature.inputs) if v.name in inputs}

    def feeds(self) -> list[Array]:
        """The value of each input of the device."""
        return [self.value(number) for number in self._signature.feeds]

    def outputs(self, device: Callable[[HostOp], Array]) -> dict[str, Array]:
        """The model's outputs by name; `device` gives the array of a Device operation."""
        self._compute([o.source for o in self._signature.outputs], device)
        return {o.name: self._known[o.source] for o in self._signature.outputs}

    def value(self, number: int) -> Array:
        """A value that needs no device."""
        self._compute([number], None)
        return self._known[number]

    def _compute(self, targets: list[int], device: Callable[[HostOp], Array] | None) -> None:
        signature = self._signature
        for number in signature.needed(targets):
            if number in self._known:
                continue
            op = signature.ops[number - len(signature.inputs)]
            if op.function == "Device":
                assert device is not None  # what the device takes is not computed from what it makes
                self._known[number] = device(op)
            elif op.function == "Constant":
                self._known[number] = signature.arrays[op.numbers[0]]
            else:
                operands = [self._known[n] for n in op.operands]
                with np.errstate(all="ignore"):
                    found = FUNCTIONS[op.function].compute(operands, op.shape, op.numbers)
                self._known[number] = np.asarray(found).astype(op.dtype, copy=False)


def moved_integers(signature: Signature, source: int, device: list[Array]) -> Array:
    """The device's integers that a value with `only_moves` consists of; `device` has them by output."""
    known: dict[int, Array] = {}
    for number in signature.needed([source]):
        op = signature.ops[number - len(signature.inputs)]
        operands = [known[n] for n in op.operands]
        known[number] = (
            device[op.numbers[0]]
            if op.function == "Device"
            else FUNCTIONS[op.function].compute(operands, op.shape, op.numbers)
        )
    return known[source]


def to_device(value: Array, scale: float, zero_point: int, kind: IntType = INT8) -> Array:
    """The integers of a value that the device takes, of type `kind`: stored as its own are, or quantized."""
    model = IntType.named(value.dtype.name)
    return quantize(value, scale, zero_point, kind=kind) if model is None else model.to_stored(value)


def plain_signature(inputs: list[tuple[str, TensorLayout]], outputs: list[tuple[str, TensorLayout]]) -> Signature:
    """The signature of a program without one: every tensor of the device is an input or output in float32."""
    ops = [HostOp("Device", (), layout.shape, "float32", (i,)) for i, (_, layout) in enumerate(outputs)]
    return Signature(
        [Value(name, layout.shape, "float32") for name, layout in inputs],
        ops,
        list(range(len(inputs))),
        [ModelOutput(name, len(inputs) + i) for i, (name, _) in enumerate(outputs)],
    )
