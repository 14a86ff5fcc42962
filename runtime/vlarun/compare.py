"""Run two backends on one input and find the first difference, with the packet that wrote it.

Outputs come first, in the program's order, then the data space, then the scratchpads.
Not here: comparing packet by packet while they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.hardware import LINE_BYTES
from vla_isa.program import Program
from vla_isa.trace import describe, walk
from vlarun.backends.base import Backend, RunResult, entry_packet

__all__ = ["Difference", "compare"]

SPACES = ("data", "act", "weight", "param")
Array = NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """The first difference: what, where, both values, and who wrote it last."""

    what: str
    place: str
    values: tuple[Any, Any]
    writer: str = ""

    def message(self, names: tuple[str, str]) -> str:
        """One sentence for a person."""
        by = f"; last written by {self.writer}" if self.writer else ""
        return (
            f"{self.what} differs at {self.place}: {names[0]} has {self.values[0]}, {names[1]} has {self.values[1]}{by}"
        )


def compare(
    program: Program, backends: tuple[Backend, Backend], inputs: dict[str, NDArray[np.int8]], entry: str | None = None
) -> Difference | None:
    """The first difference between two backends, or None.

    Raises:
        VlaError: a backend cannot run.
    """
    a, b = (backend.run(program, inputs, entry) for backend in backends)
    for name in ("status", "error_address", "halt_code"):
        if getattr(a, name) != getattr(b, name):
            return Difference("the run's result", name, (getattr(a, name), getattr(b, name)))
    return _outputs(a, b) or _memories(program, a, b, entry)


def _outputs(a: RunResult, b: RunResult) -> Difference | None:
    for name, left in a.outputs.items():
        unequal = np.argwhere(left != b.outputs[name])
        if len(unequal):
            at = tuple(int(i) for i in unequal[0])
            return Difference(
                f"output '{name}' ({len(unequal)} of {left.size} elements)",
                f"index {list(at)}",
                (int(left[at]), int(b.outputs[name][at])),
            )
    return None


def _memories(program: Program, a: RunResult, b: RunResult, entry: str | None) -> Difference | None:
    for space in SPACES:
        if space not in a.memories or space not in b.memories:
            continue
        left, right = a.memories[space], b.memories[space]
        width = LINE_BYTES if space == "data" else left.shape[1]
        unequal = np.flatnonzero((left.reshape(-1, width) != right.reshape(-1, width)).any(axis=1))
        if len(unequal):
            word = int(unequal[0])
            byte = int(np.flatnonzero(left.reshape(-1, width)[word] != right.reshape(-1, width)[word])[0])
            values = tuple(int(m.reshape(-1, width)[word, byte]) for m in (left, right))
            unit = "line" if space == "data" else "word"
            return Difference(
                f"{space} memory ({len(unequal)} {unit}s)",
                f"{unit} {word}, byte {byte}",
                (values[0], values[1]),
                _last_writer(program, entry, space, word),
            )
    return None


def _last_writer(program: Program, entry: str | None, space: str, word: int) -> str:
    """The packet, in program order, that wrote the word last; empty where none did."""
    writer = ""
    for step in walk(program, entry_packet(program, entry), stop_at_illegal=True):
        for access in step.accesses:
            if (
                access.space == space
                and access.write
                and ((access.words[:, 0] <= word) & (word < access.words[:, 1])).any()
            ):
                writer = describe(program, step.number, step.packet)
    return writer
