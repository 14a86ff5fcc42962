"""What the compiler tells of the operations of the device in a program's manifest (`emit/write_program.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from vla_isa.program import Program
from vla_isa.records import from_json

__all__ = ["Operation", "operations"]


@dataclass(frozen=True)
class Operation:
    """One operation and its result; `inputs` and `output` are names of tensors, `type` the integers of the result."""

    node: str
    op: str
    inputs: tuple[str, ...]
    output: str
    label: str
    shape: tuple[int, ...]
    type: str
    scale: float
    zero_point: int


def operations(program: Program) -> list[Operation]:
    """In their order.

    Raises:
        ProgramError: the manifest has another form.
    """
    layers = program.manifest.get("layers", [])
    return cast("list[Operation]", from_json(list[Operation], layers, "manifest.layers"))
