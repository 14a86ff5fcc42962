"""State that one run hands to the next: outputs of a model that are inputs of the next run, by the user's word.

It is written into the model, so that every pass knows it: the quantizer gives both one scale, the plan one place in
the data space. Not here: what a session does with it.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from vla_isa.errors import did_you_mean
from vlac.errors import ModelError
from vlac.model.reading import dtype_of, shape_of

__all__ = ["carried_names", "carried_values", "set_carried"]

_KEY = "vlac.carried"


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


def carried_names(model: ir.Model) -> dict[str, str]:
    """The names of inputs and outputs that are carried."""
    found = {v.name or "": v.metadata_props.get(_KEY) for v in model.graph.inputs}
    return {name: result for name, result in found.items() if result is not None}


def carried_values(model: ir.Model) -> list[tuple[ir.Value, ir.Value]]:
    """The inputs and outputs that are carried."""
    outputs = {v.name: v for v in model.graph.outputs}
    names = carried_names(model)
    return [(v, outputs[names[v.name]]) for v in model.graph.inputs if v.name in names and names[v.name] in outputs]
