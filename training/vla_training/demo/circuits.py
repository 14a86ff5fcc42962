"""What each command's circuit takes on the device, measured: tiles, multiply-accumulates, bytes, cycles on `rtl`.

Every command is an entry point of a gated policy's program. Its outputs must have the bytes of the run with everything
computed and gated.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_training.errors import EvaluationError

__all__ = ["CIRCUIT_HEADINGS", "Circuit", "circuit_picture", "circuit_rows", "measure_circuits"]

CIRCUIT_HEADINGS = ("command", "tiles", "MACs", "parameters", "bytes", "cycles", "of all")
_DENSE = "main"  # entry point with everything live
_CELL, _LABEL, _ROW = 14, 150, 24  # pixels of the picture
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Circuit:
    """One entry point on one frame; of `main` everything is live.

    Attributes:
        tiles: per convolution, 1 for each tile that is on, else 0.
        equal: whether rtl's outputs have the bytes of the whole run on sim.
    """

    command: str
    tiles: tuple[tuple[int, ...], ...]
    macs: int
    parameters: int
    weight_bytes: int
    rtl_cycles: int
    sim_cycles: int
    equal: bool

    def to_json(self) -> dict[str, Any]:
        """As stored in the demo's folder."""
        return asdict(self)


def measure_circuits(
    program: Path, table: Sequence[npt.NDArray[np.float32]], commands: Sequence[str], frame: Arrays, command_input: str
) -> list[Circuit]:
    """Run every command's entry point on one frame that is given its command.

    Args:
        program: prog.bin of a gated policy.
        table: per convolution (commands, tiles), 1 where a tile is on.
        commands: names of the entry points, in the table's order.
        frame: one frame's inputs.
        command_input: the input that is the one-hot command.

    Raises:
        EvaluationError: the program has no such entry points.
    """
    import vlarun
    from vlac.report.tasks import task_costs

    sim: Any = vlarun.Session(str(program), backend="sim")
    rtl: Any = vlarun.Session(str(program), backend="rtl")
    costs = {cost.task: cost for cost in task_costs(sim.program)}
    missing = [name for name in (_DENSE, *commands) if name not in costs]
    if missing:
        raise EvaluationError(f"{program} has no entry point '{missing[0]}'; it has {', '.join(costs) or 'no tasks'}.")
    found = []
    for name in (_DENSE, *commands):
        number = commands.index(name) if name != _DENSE else 0
        inputs = dict(frame) | {command_input: np.eye(len(commands), dtype=np.float32)[[number]]}
        whole: Arrays = sim.run(inputs, raw=True, entry=_DENSE)
        part: Arrays = rtl.run(inputs, raw=True, entry=name)
        found.append(
            Circuit(
                command=name,
                tiles=tuple(
                    tuple(int(t) for t in (row[number] if name != _DENSE else np.ones_like(row[0]))) for row in table
                ),
                macs=costs[name].macs,
                parameters=costs[name].parameters,
                weight_bytes=costs[name].weight_bytes,
                rtl_cycles=int(rtl.stats["cycles"]),
                sim_cycles=costs[name].cycles,
                equal=all(np.array_equal(values, part[output]) for output, values in whole.items()),
            )
        )
    return found


def circuit_rows(circuits: Sequence[Circuit]) -> list[tuple[str, ...]]:
    """As `CIRCUIT_HEADINGS` says; shares are of the first row."""
    whole = circuits[0]
    return [
        (
            "everything" if c is whole else c.command,
            f"{100 * _share(c):.0f} %",
            f"{100 * c.macs / whole.macs:.0f} %",
            f"{c.parameters:,}",
            f"{c.weight_bytes:,}",
            f"{c.rtl_cycles:,}",
            f"{100 * c.rtl_cycles / whole.rtl_cycles:.0f} %",
        )
        for c in circuits
    ]


def _share(circuit: Circuit) -> float:
    tiles = [t for row in circuit.tiles for t in row]
    return sum(tiles) / len(tiles)


def circuit_picture(circuits: Sequence[Circuit]) -> str:
    """An SVG: a row for each command, a square for each tile of each convolution, dark where it is on."""
    counts = [len(row) for row in circuits[0].tiles]
    starts = np.concatenate([[0], np.cumsum([count * _CELL + _CELL for count in counts])])
    width, height = int(_LABEL + starts[-1]), _ROW * (len(circuits) + 1)
    parts = [f'<text x="{_LABEL - 8}" y="15" text-anchor="end">convolution</text>']
    parts += [f'<text x="{_LABEL + x}" y="15">{n + 1}</text>' for n, x in enumerate(starts[:-1])]
    for line, circuit in enumerate(circuits[1:], 1):
        y = _ROW * line
        parts.append(f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{html.escape(circuit.command)}</text>')
        for row, start in zip(circuit.tiles, starts, strict=False):
            for place, on in enumerate(row):
                x, color = _LABEL + int(start) + place * _CELL, "#4878a8" if on else "#e4e4e4"
                parts.append(f'<rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_ROW - 4}" fill="{color}"/>')
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" {style}>{"".join(parts)}</svg>'
