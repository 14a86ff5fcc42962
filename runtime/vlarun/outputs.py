"""From the integers of a run to what the model returns: dequantized, then the host's functions; or the integers.

Not here: which functions a model needs (the compiler's choice, in the program file).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.integer import IntType
from vla_isa.program import IoTensor, Program
from vla_isa.signature import HostOp, HostRun, moved_integers
from vlarun.errors import InputError
from vlarun.native import dequantize

__all__ = ["raw_outputs", "real_outputs", "refuse_raw_input"]

Array = NDArray[Any]
Integers = Mapping[str, NDArray[np.int8]]


def real_outputs(program: Program, host: HostRun, integers: Integers) -> dict[str, Array]:
    """The model's outputs by name, from the device's."""

    def device(op: HostOp) -> Array:
        tensor = program.outputs[op.numbers[0]]
        return _as(op.dtype, integers[tensor.name], tensor)

    return host.outputs(device)


def raw_outputs(program: Program, host: HostRun, integers: Integers) -> dict[str, Array]:
    """The device's integers as the model's outputs show them.

    An output that is only moved elements has its integers under its own name; of one that the host computes further,
    the device's tensors come under theirs, as do those that no output of the model is made of (kept for comparison).
    Constants and copies of inputs are what they are.
    """
    signature, found = program.model, dict[str, Array]()
    used = {i for o in signature.outputs for i in signature.device_outputs(o.source)}
    found |= {t.name: integers[t.name] for i, t in enumerate(program.outputs) if i not in used}
    for output in signature.outputs:
        if signature.only_moves(output.source):
            device: list[Array] = [integers[t.name] for t in program.outputs]
            found[output.name] = moved_integers(signature, output.source, device)
            continue
        names = [program.outputs[i].name for i in signature.device_outputs(output.source)]
        found |= {name: integers[name] for name in names} if names else {output.name: host.value(output.source)}
    return found


def refuse_raw_input(program: Program) -> None:
    """Refuse the device's integers as input where an output is made of the model's inputs without the device.

    Raises:
        InputError: names the output.
    """
    signature = program.model
    for output in signature.outputs:
        if signature.needed([output.source])[0] < len(signature.inputs):
            raise InputError(
                f"output '{output.name}' is made of the model's inputs on the host; give those, without raw input"
            )


def _as(dtype: str, q: Array, tensor: IoTensor) -> Array:
    """(q - zero_point) * scale in float32; of an integer output the model's integers."""
    integers = IntType.named(dtype)
    if integers is not None:
        return integers.from_stored(q)
    return dequantize(q, tensor.scale, tensor.zero_point)
