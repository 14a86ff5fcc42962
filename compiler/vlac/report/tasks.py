"""What each task of a program takes: multiply-accumulates, parameters, bytes of weights, estimated cycles.

Not here: cycles of the Verilog machine, which `vlarun --entry TASK --backend rtl` counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_isa import timing
from vla_isa.program import Program
from vla_isa.tasks import DENSE
from vla_isa.trace import walk

__all__ = ["HEAD", "TaskCost", "task_costs", "task_text"]

HEAD = ("task", "MACs", "of dense", "parameters", "weight bytes", "cycles", "of dense")


@dataclass(frozen=True)
class TaskCost:
    """Of one run; `parameters` is 0 where the program does not say; shares are of the run with everything live."""

    task: str
    macs: int
    macs_share: float
    parameters: int
    weight_bytes: int
    cycles: int
    cycles_share: float

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, in the order of `HEAD`."""
        return (
            self.task,
            f"{self.macs:,}",
            f"{100 * self.macs_share:.1f} %",
            f"{self.parameters:,}",
            f"{self.weight_bytes:,}",
            f"{self.cycles:,}",
            f"{100 * self.cycles_share:.1f} %",
        )


def task_costs(program: Program) -> list[TaskCost]:
    """The dense entry point first; none where the program has no tasks."""
    if program.tasks is None:
        return []
    found: list[tuple[str, int, int, int, int]] = []
    known = program.manifest.get("tasks")
    for name in sorted(program.tasks.lines, key=lambda n: n != DENSE):
        seen = program.at(name)
        report = timing.estimate(seen)
        numbers = known.get(name) if isinstance(known, dict) else None
        parameters = numbers.get("parameters") if isinstance(numbers, dict) else 0
        count = parameters if isinstance(parameters, int) else 0
        found.append((name, report.macs, count, _weight_bytes(seen), report.total_cycles))
    macs, cycles = max(found[0][1], 1), found[0][4]
    return [TaskCost(n, m, m / macs, p, w, c, c / cycles) for n, m, p, w, c in found]


def task_text(costs: list[TaskCost]) -> str:
    """A table."""
    rows = [HEAD, *(c.cells for c in costs)]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )


def _weight_bytes(program: Program) -> int:
    """What a run reads of the weight space."""
    words = sum(
        int((a.words[:, 1] - a.words[:, 0]).sum())
        for step in walk(program, next(iter(program.entries.values())))
        for a in step.accesses
        if a.space == "weight_hbm"
    )
    return words * program.config.weight_word_bytes
