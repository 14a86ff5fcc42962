"""Run two backends on one input and find the first packet after which they differ.

Compared are status, outputs, the data space and the scratchpads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import decode
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions.loop import LOOP
from vla_isa.program import Program
from vla_isa.trace import Step, describe, packets, walk
from vlarun.backends.base import Backend, RunResult, run_once
from vlarun.prefix import stop_before

__all__ = ["Difference", "compare"]

SPACES = ("data", "act", "weight", "param")
Pair = tuple[Backend, Backend]


@dataclass(frozen=True)
class Difference:
    """The first difference: what, where, both values, and the packet that makes it."""

    what: str
    place: str
    values: tuple[Any, Any]
    packet: str = ""
    has_memories: bool = False  # of both backends, so that the packet can be found

    def message(self, names: tuple[str, str]) -> str:
        """One sentence for a person."""
        after = f"after {self.packet}, " if self.packet else ""
        values = f"{names[0]} has {self.values[0]}, {names[1]} has {self.values[1]}"
        return f"{after}{self.what} differs at {self.place}: {values}"


def compare(
    program: Program, backends: Pair, inputs: dict[str, NDArray[np.int8]], entry: str | None = None
) -> Difference | None:
    """The first difference between two backends, or None.

    Where whole runs differ and both backends give their memories, the program is run again, cut after fewer
    and fewer packets, until one packet, or one loop, is left that makes the difference.

    Raises:
        VlaError: a backend cannot run.
    """
    for backend in backends:
        backend.check_entry(program, entry)
    program = program.at(entry)
    found = _difference(program, backends, inputs, entry)
    if found is None or not found.has_memories:
        return found
    steps = list(walk(program, next(iter(program.entries.values())), stop_at_illegal=True))
    equal, differs, cuts = 0, len(steps), _outside_loops(program, steps)  # after so many packets
    while between := [i for i in cuts if equal < i < differs]:
        middle = between[len(between) // 2]
        part = stop_before(program, steps[middle].number)
        earlier = _difference(part, backends, inputs, entry)
        if earlier is None:
            equal = middle
        else:
            found, differs = earlier, middle
    step = steps[differs - 1]
    return replace(found, packet=describe(program, step.number, step.packet))


def _outside_loops(program: Program, steps: list[Step]) -> list[int]:
    """The steps before which a program can be cut: a HALT may not stand in the body of a loop."""
    inside: set[int] = set()
    for number, data in enumerate(packets(program)):
        if data[0] == LOOP.opcode:
            inside.update(range(number + 1, number + 1 + decode(data)["n"]))
    return [i for i, step in enumerate(steps) if step.number not in inside]


def _difference(
    program: Program, backends: Pair, inputs: dict[str, NDArray[np.int8]], entry: str | None
) -> Difference | None:
    """The first difference after whole runs: status, outputs, memories."""
    a, b = (run_once(backend, program, inputs, entry) for backend in backends)
    known = bool(a.memories and b.memories)
    for name in ("status", "error_address", "halt_code"):
        left, right = getattr(a, name), getattr(b, name)
        if left != right:
            values = (left.name, right.name) if name == "status" else (left, right)
            return Difference("the run's result", name, values, has_memories=known and name != "halt_code")
    found = _outputs(a, b) or _memories(a, b)
    return replace(found, has_memories=known) if found else None


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


def _memories(a: RunResult, b: RunResult) -> Difference | None:
    for space in SPACES:
        if space not in a.memories or space not in b.memories:
            continue
        width = LINE_BYTES if space == "data" else a.memories[space].shape[1]
        left, right = (m.memories[space].reshape(-1, width) for m in (a, b))
        unequal = np.argwhere(left != right)
        if len(unequal):
            word, byte = (int(i) for i in unequal[0])
            unit = "line" if space == "data" else "word"
            count = len(np.unique(unequal[:, 0]))
            return Difference(
                f"{space} memory ({count} {unit}s)",
                f"{unit} {word}, byte {byte}",
                (int(left[word, byte]), int(right[word, byte])),
            )
    return None
