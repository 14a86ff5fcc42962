"""Inputs that are known at compile time, an instruction, say: what follows from them alone is computed here.

By the meaning of the device's operations, so the program gives the bytes that it gives with the same values as inputs.
Of a mixture whose router sees nothing else, the experts that are not chosen are left out. Calibration data still holds
these inputs, and should hold all values that they take: programs for other values then have the same scales.

Not here: constants of the model itself (`model/reading.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.input_arrays import read_runs
from vla_isa.signature import HostOp, HostRun, ModelOutput, Signature, to_device
from vlac.device.experts import ExpertsOp
from vlac.device.product import LogitsOp
from vlac.device.row import RowOp
from vlac.device.vec import VecOp
from vlac.errors import UnsupportedError
from vlac.ir.graph import Graph
from vlac.ir.operation import Home, Op, Tensor

__all__ = ["set_constants"]

I64 = NDArray[np.int64]
_READ_CONSTANTS = (VecOp, RowOp, LogitsOp)  # from the data space


def set_constants(graph: Graph, given: Mapping[str, Any]) -> None:
    """Let inputs of the model be constants.

    Args:
        graph: as lowered, in front of every fusion.
        given: arrays of the inputs' shapes, real values or integers as in a run, by name.

    Raises:
        InputError: no such input, or an array that does not fit it.
        UnsupportedError: something is left that reads a number or an item of them.
    """
    signature = graph.signature
    assert signature is not None
    if graph.carried or graph.repeat > 1:
        raise UnsupportedError(["inputs that are constants and state that a run hands to the next do not go together"])
    runs = read_runs(signature.inputs, given, [v.name for v in signature.inputs])
    if runs.count != 1:
        names = ", ".join(f"'{name}'" for name in given)
        raise UnsupportedError([f"constant input {names}: found values of {runs.count} runs; a program has one"])
    (values,) = runs.items()
    for name in given:
        _make_constant(graph, name, values[name])
        graph.fixed[name] = values[name]
    known = _known_inputs(graph)
    for op in list(graph.ops):
        if all(t.constant is not None or t in known for t in op.inputs):
            known[op.output] = op.meaning([known[t] if t in known else _stored(t) for t in op.inputs])
            graph.erase(op)
    for op in list(graph.ops):
        _choose(graph, op, known)
    _return_constants(graph, known)
    for tensor, q in known.items():
        if tensor.consumers:
            _keep(graph, tensor, q)


def _make_constant(graph: Graph, name: str, array: NDArray[Any]) -> None:
    """In the signature, in the place of an input, a constant that is the first of the host's values."""
    old = graph.signature
    assert old is not None
    count = len(old.inputs)
    (at,) = (i for i, v in enumerate(old.inputs) if v.name == name)

    def moved(number: int) -> int:
        return number if number < at or number >= count else count - 1 if number == at else number - 1

    constant = HostOp("Constant", (), old.inputs[at].shape, old.inputs[at].dtype, (len(old.arrays),))
    graph.signature = Signature(
        [v for v in old.inputs if v.name != name],
        [constant, *(replace(op, operands=tuple(map(moved, op.operands))) for op in old.ops)],
        list(map(moved, old.feeds)),
        [ModelOutput(o.name, moved(o.source)) for o in old.outputs],
        [*old.arrays, array],
    )
    graph.input_labels = {t: (label, moved(number)) for t, (label, number) in graph.input_labels.items()}


def _known_inputs(graph: Graph) -> dict[Tensor, I64]:
    """Values of the device's inputs that the host computes of constants alone; they are inputs no longer."""
    signature = graph.signature
    assert signature is not None
    host, known = HostRun(signature, {}), dict[Tensor, I64]()
    for tensor in list(graph.inputs):
        label, number = graph.input_labels[tensor]
        if any(n < len(signature.inputs) for n in signature.needed([number])):
            continue
        if tensor.home is not Home.MATRIX or tensor in graph.input_layouts:
            raise UnsupportedError([f"input '{label}' chooses rows or experts by number; it cannot be a constant"])
        q = to_device(host.value(number), tensor.scale, tensor.zero_point, kind=tensor.type)
        known[tensor] = tensor.to_hwc(q.astype(np.int64))
        graph.inputs.remove(tensor)
        del graph.input_labels[tensor]
    return known


def _stored(tensor: Tensor) -> I64:
    assert tensor.constant is not None
    return tensor.to_hwc(tensor.constant.astype(np.int64))


def _choose(graph: Graph, op: Op, known: Mapping[Tensor, I64]) -> None:
    """Put an expert in the place of all, where its number is known."""
    if isinstance(op, ExpertsOp) and op.choice in known:
        graph.replace_op(op, op.expert(known[op.choice]))


def _return_constants(graph: Graph, known: Mapping[Tensor, I64]) -> None:
    """Let the host return what is known, in the place of outputs of the device."""
    signature, outputs = graph.signature, graph.outputs
    assert signature is not None
    kept = [n for n, out in enumerate(outputs) if out.tensor not in known]
    if not kept:
        raise UnsupportedError(["all that the model computes follows from its constant inputs; leave one out"])
    for at, op in enumerate(signature.ops):
        if op.function != "Device":
            continue
        (number,) = op.numbers
        tensor = outputs[number].tensor
        if number in kept:
            signature.ops[at] = replace(op, numbers=(kept.index(number),))
            continue
        q = tensor.stored.cast(tensor.from_hwc(known[tensor]))
        real = (q.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
        array = real if op.dtype == "float32" else tensor.to_model(q)
        signature.arrays.append(array.reshape(op.shape))
        signature.ops[at] = replace(op, function="Constant", numbers=(len(signature.arrays) - 1,))
    graph.outputs = [outputs[n] for n in kept]


def _keep(graph: Graph, tensor: Tensor, q: I64) -> None:
    """Let a value be a constant for those that still read it; behind a copy, where one of them reads no constants."""
    if tensor.home is not Home.MATRIX or tensor.with_items:
        readers = ", ".join(f"{op.op_type} '{op.node}'" for op in tensor.consumers)
        raise UnsupportedError([f"{readers}: '{tensor.label}', an item or a table, cannot be a constant"])
    array = tensor.stored.cast(tensor.from_hwc(q))
    if all(isinstance(op, _READ_CONSTANTS) for op in tensor.consumers):
        tensor.constant = array
        return
    first = min(tensor.consumers, key=graph.ops.index)
    make = VecOp.identity if tensor.planes == 1 else RowOp.identity
    given = tensor.like(f"{tensor.name}:constant", constant=array)
    graph.insert(make(first.node, "Constant", given, tensor), before=first)
