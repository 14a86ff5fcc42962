"""State that one run hands to the next: outputs of a model that are inputs of the next run, by the user's word.

It is written into the model, so that every pass knows it: the quantizer gives both one scale, the plan one place in
the data space. A program may be many runs of the model, one after the other, that hand their state on: `Repeat`. What
another graph of the program makes or reads is shared.
Not here: what a session does with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from vla_isa.errors import did_you_mean
from vlac.errors import ModelError
from vlac.model.reading import dtype_of, shape_of

__all__ = [
    "Repeat",
    "carried_names",
    "carried_values",
    "repeat_of",
    "set_carried",
    "set_repeat",
    "set_shared",
    "shared_values",
]

_KEY, _COUNT, _COUNTER, _SHARED = "vlac.carried", "vlac.repeat", "vlac.counter", "vlac.shared"


@dataclass(frozen=True)
class Repeat:
    """How many runs a program is, and the input that is the number of the run, 0, 1, ..., if any."""

    count: int = 1
    counter: ir.Value | None = None


def set_carried(model: ir.Model, names: Mapping[str, str]) -> None:
    """Write into a model which input is, in the next run, which output.

    Raises:
        ModelError: there are no such inputs and outputs, one is named twice, or they differ in shape or dtype.
    """
    inputs, outputs = ({v.name or "": v for v in values} for values in (model.graph.inputs, model.graph.outputs))
    for name, result in names.items():
        for kind, wanted, known in (("input", name, inputs), ("output", result, outputs)):
            if wanted not in known:
                text = f"--carry {name}={result}: the model has no {kind} '{wanted}'"
                raise ModelError(f"{text}; it has {', '.join(known)}.{did_you_mean(wanted, known)}")
        a, b = inputs[name], outputs[result]
        if list(names.values()).count(result) > 1:
            raise ModelError(
                f"--carry {name}={result}: output '{result}' is carried to two inputs; copy it with Identity"
            )
        if shape_of(a) != shape_of(b) or dtype_of(a) != dtype_of(b):
            found = " and ".join(f"{dtype_of(v)} {list(shape_of(v))}" for v in (a, b))
            raise ModelError(f"--carry {name}={result}: they are {found}; both must be of one dtype and shape")
        a.metadata_props[_KEY] = result


def set_repeat(model: ir.Model, count: int, counter: str | None) -> None:
    """Write into a model how often it runs.

    Raises:
        ModelError: a count that is none, no state is carried, or the counter is no input of one integer.
    """
    if count == 1 and counter is None:
        return
    if not 1 < count < 1 << 16:
        raise ModelError(
            f"--repeat {count}: a program is 2 to {(1 << 16) - 1} runs of the model, with a --counter or not"
        )
    if not carried_names(model):
        raise ModelError(f"--repeat {count}: all runs are the same, as no state is carried; say which with --carry")
    model.metadata_props[_COUNT] = str(count)
    if counter is None:
        return
    inputs = {v.name or "": v for v in model.graph.inputs}
    if counter not in inputs:
        text = f"--counter {counter}: the model has no such input; it has {', '.join(inputs)}"
        raise ModelError(f"{text}.{did_you_mean(counter, inputs)}")
    value = inputs[counter]
    if dtype_of(value) not in ("int32", "int64") or math.prod(shape_of(value)) != 1:
        found = f"{dtype_of(value)} {list(shape_of(value))}"
        raise ModelError(f"--counter {counter}: it is {found}; the number of the run is one int32 or int64")
    value.metadata_props[_COUNTER] = "1"


def repeat_of(model: ir.Model) -> Repeat:
    """How often a model runs in one program."""
    counter = next((v for v in model.graph.inputs if _COUNTER in v.metadata_props), None)
    return Repeat(int(model.metadata_props.get(_COUNT, "1")), counter)


def carried_names(model: ir.Model) -> dict[str, str]:
    """The names of inputs and outputs that are carried."""
    found = {v.name or "": v.metadata_props.get(_KEY) for v in model.graph.inputs}
    return {name: result for name, result in found.items() if result is not None}


def carried_values(model: ir.Model) -> list[tuple[ir.Value, ir.Value]]:
    """The inputs and outputs that are carried."""
    outputs = {v.name: v for v in model.graph.outputs}
    names = carried_names(model)
    return [(v, outputs[names[v.name]]) for v in model.graph.inputs if v.name in names and names[v.name] in outputs]


def set_shared(model: ir.Model, names: Collection[str]) -> None:
    """Write into a model which of its inputs and outputs another graph of the program makes or reads."""
    if names:
        model.metadata_props[_SHARED] = json.dumps(sorted(names))


def shared_values(model: ir.Model) -> list[ir.Value]:
    """The inputs and outputs that another graph of the program makes or reads."""
    names = json.loads(model.metadata_props.get(_SHARED, "[]"))
    return [v for v in (*model.graph.inputs, *model.graph.outputs) if v.name in names]
