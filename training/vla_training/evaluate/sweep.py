"""Success against the clock, for programs of several hardware configs: a table, and what the chart draws.

Each program is played once in a world that waits, then once at each clock (`live.py`), always on the same seeds.
Not here: the picture (`live_chart.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_datasets.engine import ALONE, Engine
from vla_datasets.files import write_json
from vla_datasets.worlds.registry import find_world
from vla_isa import package
from vla_isa.program import Program
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import HOST_BACKENDS, RunnerSpec, ServerSpec
from vla_training.evaluate.closed_loop import Evaluation, evaluate
from vla_training.evaluate.live import delay

__all__ = ["LiveRow", "save_sweep", "sweep", "table"]


@dataclass(frozen=True)
class LiveRow:
    """A program at a clock."""

    name: str  # its hardware config, and its file where several programs have the same one
    evaluation: Evaluation
    delay_steps: int  # whole control steps from an observation to its action

    @property
    def milliseconds(self) -> float | None:
        """Of a call; None in a world that waited."""
        clock, cycles = self.evaluation.clock_mhz, self.evaluation.cycles
        return None if clock is None or cycles is None else cycles / clock / 1000

    def to_json(self) -> dict[str, Any]:
        """Of a table row."""
        late = {"latency_ms": self.milliseconds, "delay_steps": self.delay_steps}
        return {"name": self.name, **late, **self.evaluation.summary()}


def sweep(
    specs: Sequence[RunnerSpec | ServerSpec],
    world: str,
    level: str,
    episodes: int,
    clocks_mhz: Sequence[float],
    engine: Engine = ALONE,
    progress: Callable[[int], None] = lambda episodes: None,
) -> list[LiveRow]:
    """Play every program in a world that waits, and at every clock.

    Args:
        specs: programs, or a server.
        clocks_mhz: in the order of the rows.
        episodes: of each row.

    Raises:
        EvaluationError: what `evaluate` raises.
    """
    names, fps = _names(specs), find_world(world).frame(level).fps
    rows = []
    for name, spec in zip(names, specs, strict=True):
        for clock in (None, *clocks_mhz):
            played = evaluate(spec, world, level, episodes, engine, progress, clock)
            late = 0 if clock is None or played.cycles is None else delay(played.cycles, clock, fps)[0]
            rows.append(LiveRow(name, played, late))
    return rows


def _names(specs: Sequence[RunnerSpec | ServerSpec]) -> list[str]:
    """A name for each row's program; what is no program is refused before anything is played."""
    configs = []
    for spec in specs:
        if isinstance(spec, ServerSpec):
            configs.append("server")
            continue
        spec.check()
        if spec.backend in HOST_BACKENDS:
            raise EvaluationError(f"--live needs the cycles of a device, and {spec.path} is no program.")
        loaded = package.load(spec.path)
        configs.append((loaded if isinstance(loaded, Program) else loaded.programs[0]).config.name)
    return [
        config if configs.count(config) == 1 or isinstance(spec, ServerSpec) else f"{config} {spec.path.name}"
        for config, spec in zip(configs, specs, strict=True)
    ]


def save_sweep(path: Path, rows: Sequence[LiveRow]) -> None:
    """Write the rows with every episode as JSON."""
    write_json(
        path, [{**row.to_json(), "results": [episode.to_json() for episode in row.evaluation.episodes]} for row in rows]
    )


_COLUMNS = ("program", "clock MHz", "cycles", "latency ms", "steps late", "success", "95 % interval", "mean steps")


def table(rows: Sequence[LiveRow]) -> str:
    """The rows as text, columns aligned."""
    lines = [_COLUMNS]
    for row in rows:
        played, wait = row.evaluation, row.milliseconds
        low, high = played.interval
        lines.append(
            (
                row.name,
                "waits" if played.clock_mhz is None else f"{played.clock_mhz:g}",
                f"{played.cycles:,}" if played.cycles is not None else "-",
                "-" if wait is None else f"{wait:.3g}",
                str(row.delay_steps),
                f"{100 * played.rate:.1f} %",
                f"{100 * low:.1f} to {100 * high:.1f}",
                f"{played.mean_steps:.1f}",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]) + "\n"
        for line in lines
    )
