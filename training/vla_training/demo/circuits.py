"""What each command's circuit takes on the device, measured: tiles, multiply-accumulates, bytes, cycles on `rtl`.

Every command is an entry point of a gated policy's program, which has no gates besides. Its outputs on `rtl` must have
the bytes of `sim`, and are held against the policy with its gates in float.
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

__all__ = ["CIRCUIT_HEADINGS", "Circuit", "CircuitInputs", "circuit_picture", "circuit_rows", "measure_circuits"]

CIRCUIT_HEADINGS = ("command", "tiles", "conv MACs", "bytes", "cycles", "of dense", "error")
_WHOLE = "main"  # entry point with everything
_CELL, _LABEL, _ROW = 14, 150, 24  # pixels of the picture
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Circuit:
    """One entry point on one frame; the first one is the dense policy.

    Attributes:
        tiles: per convolution, 1 for each tile that is on, else 0.
        share: of the convolutions' multiply-accumulates, of 1.
        equal: whether rtl's outputs have the bytes of sim.
        error: largest difference of its control from the float policy's.
    """

    command: str
    tiles: tuple[tuple[int, ...], ...]
    share: float
    parameters: int
    weight_bytes: int
    rtl_cycles: int
    sim_cycles: int
    equal: bool
    error: float

    def to_json(self) -> dict[str, Any]:
        """As stored in the demo's folder."""
        return asdict(self)


@dataclass(frozen=True)
class CircuitInputs:
    """One command's circuit, and what it is measured with.

    Attributes:
        tiles: per convolution, 1 for each tile that is on, else 0.
        share: of the convolutions' multiply-accumulates, of 1.
        frame: one frame's inputs, with the command.
        wanted: control of the float policy.
    """

    tiles: tuple[tuple[int, ...], ...]
    share: float
    frame: Arrays
    wanted: npt.NDArray[np.float32]


def measure_circuits(
    dense: Path, gated: Path, dense_inputs: CircuitInputs, circuits: Mapping[str, CircuitInputs], control: str
) -> list[Circuit]:
    """Run the dense program, and every command's entry point of the gated one.

    Args:
        dense: prog.bin of the dense policy.
        gated: prog.bin of the gated policy.
        dense_inputs: of the dense policy.
        circuits: by entry point.
        control: the output that is compared with `wanted`.

    Raises:
        EvaluationError: the gated program has no such entry points.
    """
    import vlarun
    from vlac.report.tasks import task_costs

    programs = {"dense": dense} | dict.fromkeys(circuits, gated)
    sim, rtl = ({path: vlarun.Session(str(path), backend=b) for path in (dense, gated)} for b in ("sim", "rtl"))
    costs = {cost.task: cost for cost in task_costs(sim[gated].program)}
    missing = [name for name in circuits if name not in costs]
    if missing:
        raise EvaluationError(f"{gated} has no entry point '{missing[0]}'; it has {', '.join(costs) or 'no tasks'}.")
    found = []
    for command, inputs in {"dense": dense_inputs, **circuits}.items():
        path, entry = programs[command], command if command in circuits else _WHOLE
        numbers = _run(sim[path], rtl[path], entry, inputs, control)
        cost = costs[entry]  # of the dense policy that of everything
        found.append(Circuit(command, inputs.tiles, inputs.share, cost.parameters, cost.weight_bytes, *numbers))
    return found


def _run(sim: Any, rtl: Any, entry: str, inputs: CircuitInputs, control: str) -> tuple[int, int, bool, float]:
    """Cycles of rtl and sim, whether the outputs have the same bytes, and how far they are from the float policy's."""
    expected: Arrays = sim.run(inputs.frame, raw=True, entry=entry)
    found: Arrays = rtl.run(inputs.frame, raw=True, entry=entry)
    said = sim.run(inputs.frame, entry=entry)[control]
    equal = all(np.array_equal(values, found[output]) for output, values in expected.items())
    return int(rtl.stats["cycles"]), int(sim.stats["cycles"]), equal, float(np.abs(said - inputs.wanted).max())


def circuit_rows(circuits: Sequence[Circuit]) -> list[tuple[str, ...]]:
    """As `CIRCUIT_HEADINGS` says; shares are of the first row."""
    whole = circuits[0]
    return [
        (
            c.command,
            f"{100 * _live(c):.0f} %",
            f"{100 * c.share:.0f} %",
            f"{c.weight_bytes:,}",
            f"{c.rtl_cycles:,}",
            f"{100 * c.rtl_cycles / whole.rtl_cycles:.0f} %",
            f"{c.error:.3f}",
        )
        for c in circuits
    ]


def _live(circuit: Circuit) -> float:
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
