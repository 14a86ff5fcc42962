"""Which tensors of a program are int16, and why: by what reads them.

Not here: the choice (`quantize/wide.py`), what is int16 inside an attention (`lowering/softmax.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from vla_isa.program import Program
from vlac.report.operations import Operation, operations

__all__ = ["WideTensor", "wide_tensors"]

_NORMS = ("LayerNormalization", "RMSNormalization", "GroupNormalization", "InstanceNormalization")
_INSIDE = {
    "logits": "scores of attention, 1/256 nat a step",
    "less": "scores less their maximum",
    "exponents": "exponents of many small shares",
    "mix": "values mixed by high and low bytes of exponents",
}


@dataclass(frozen=True)
class WideTensor:
    """A tensor of int16; `heads`: how many of this kind the node has."""

    name: str
    node: str
    shape: tuple[int, ...]
    why: str
    heads: int = 1


def wide_tensors(program: Program) -> list[WideTensor]:
    """In the order they are made; what each head of an attention has is one row."""
    every = operations(program)
    readers: dict[str, list[Operation]] = {}
    for entry in every:
        for name in entry.inputs:
            readers.setdefault(name, []).append(entry)
    results = {o.name for o in program.outputs} | {o.name for o in program.model_outputs}
    found: dict[tuple[str, str], WideTensor] = {}
    for entry in every:
        if entry.type != "int16":
            continue
        name, why = entry.label, _why(entry, readers.get(entry.output, []), results)
        kind = next((k for k in _INSIDE if f":{k}" in name), "") if entry.op == "Attention" else ""
        if kind:
            name, why = f"{name.partition(':')[0]}: {kind}", _INSIDE[kind]
        known = found.get((entry.node, name))
        heads = 1 if known is None else known.heads + 1
        found[entry.node, name] = WideTensor(name, entry.node, entry.shape, why, heads)
    return list(found.values())


def _why(entry: Operation, readers: Collection[Operation], results: Collection[str]) -> str:
    if entry.label in results or entry.output in results:
        return "a result of the model"
    if entry.label.endswith((":part", ":sum")):
        return "a product of an int16, in halves"
    kinds = {r.op for r in readers}
    if kinds.intersection(_NORMS):
        return "a norm reads it"
    if any(r.type == "int16" and r.shape == entry.shape for r in readers):
        return "added to a stream that a norm reads"
    if "Mul" in kinds:
        return "multiplied by a gate"
    if kinds.intersection(("MatMul", "Gemm")):
        return "a layer reads it, in halves"
    return "read by what takes int16"
