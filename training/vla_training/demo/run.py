"""The whole way on one small task: collect, train, export, compile, evaluate, check on RTL, report.

    vla-train demo --out runs/demo

Each stage leaves its files in the output folder; started again, only stages with changed inputs or code run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vla_datasets.engine import Engine
from vla_datasets.files import write_json
from vla_isa import hardware
from vla_isa.documents import read_json
from vla_isa.files import make_folder
from vla_training.config.load import load_config
from vla_training.config.run import TrainConfig
from vla_training.demo.report import Results, write_report
from vla_training.demo.stages import MACHINES, PREPARES, StageLog, file_names, package_digest
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import compare, evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.frame_check import FrameCheck, check_frames, record_frames
from vla_training.progress import progress_bar

__all__ = ["DemoOptions", "run_demo"]


@dataclass(frozen=True)
class DemoOptions:
    """What to run and where; `episodes` and `rtl_frames` are for evaluation, `workers` are processes.

    The closed loop is evaluated on the first hardware config; frames are checked on all.
    """

    config: str = "goto_obj"
    out: Path = Path("runs/demo")
    episodes: int = 200
    rtl_frames: int = 20
    workers: int = 2
    hardware: tuple[str, ...] = ("u50", "tiny")

    def __post_init__(self) -> None:
        for name in ("episodes", "rtl_frames"):
            if getattr(self, name) < 1:
                raise EvaluationError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1.")
        file_names(self.hardware)  # refuses equal ones


def run_demo(options: DemoOptions, console: Console) -> Results:
    """Run all stages, print the table and write `report.html`.

    Raises:
        EvaluationError: RTL and simulator differ, or the compiler refused the model.
    """
    config = load_config(options.config)
    for name in options.hardware:
        hardware.load(name)  # refuses an unknown one before the work
    make_folder(options.out)
    demo = _Demo(options, config, console)
    demo.make_policy()
    demo.compile()
    demo.play()
    demo.check_on_rtl()
    results = demo.results()
    write_report(options.out / "report.html", results)
    _print_table(results, console)
    console.print(f"report: {options.out / 'report.html'}", soft_wrap=True)
    for check in results.checks:
        if not check.equal:
            raise EvaluationError(f"'{check.config}': rtl and sim differ: {check.first_difference}.")
    return results


class _Demo:
    """The stages in order; each method names its inputs and outputs once, for `StageLog`."""

    def __init__(self, options: DemoOptions, config: TrainConfig[Any, Any], console: Console) -> None:
        self.options = options
        self.config = config
        self.console = console
        out = options.out
        self.log = StageLog(out / "stages", lambda text: console.print(text, markup=False, highlight=False))
        self.data = out / "data"
        self.run = out / "train"
        self.model = out / "model.onnx"
        self.calibration = out / "calib.npz"
        self.names = file_names(options.hardware)
        self.programs = {name: out / file / "prog.bin" for name, file in self.names.items()}
        self.evaluations = {name: out / f"evaluate-{name}.json" for name in ("float", "sim")}
        self.frames = out / "frames.npz"
        self.checks = {name: out / f"rtl-{file}.json" for name, file in self.names.items()}

    def make_policy(self) -> None:
        """Collect, train, export and choose calibration frames."""
        config = self.config
        asked = {"world": config.world, "level": config.level, "episodes": config.episodes, "seed": config.collect_seed}
        code = package_digest("vla_datasets")
        self.log.run("collect", {**asked, "code": code}, [self.data], self._collect)
        learned = {"config": config.to_json(), "data": self.data, "code": package_digest("vla_models")}
        pretrained = self.run / "checkpoints" / "last" / "pretrained_model"
        self.log.run("train", learned, [pretrained], self._train)
        self.log.run("export", {"policy": pretrained, "code": learned["code"]}, [self.model], self._export)
        inputs = {"data": self.data, "policy": pretrained, "code": package_digest(*PREPARES)}
        self.log.run("calibrate", inputs, [self.calibration], self._calibrate)

    def compile(self) -> None:
        """Compile for every hardware config."""
        code = package_digest("vlac", "vla_isa", "vla_toolchain")
        for name, program in self.programs.items():
            inputs = {"model": self.model, "calibration": self.calibration, "code": code}
            inputs |= {"hardware": hardware.load(name).to_dict()}
            self.log.run(f"compile-{self.names[name]}", inputs, [program], partial(self._compile, name))

    def play(self) -> None:
        """Evaluate the float policy and the int8 program on the same episodes."""
        asked = {"world": self.config.world, "level": self.config.level, "episodes": self.options.episodes}
        sources = {
            "float": self.run / "checkpoints" / "last" / "pretrained_model",
            "sim": self.programs[self.options.hardware[0]],
        }
        for backend, source in sources.items():
            code = package_digest(*PREPARES, *(MACHINES if backend == "sim" else ()))
            inputs = {**asked, "policy": sources["float"], "file": source, "code": code}
            stage = f"evaluate-{backend}"
            output = [self.evaluations[backend]]
            self.log.run(stage, inputs, output, partial(self._evaluate, backend, source))

    def check_on_rtl(self) -> None:
        """Record the frames that the int8 policy saw and compare sim and rtl on them."""
        first = self.programs[self.options.hardware[0]]
        code = package_digest(*MACHINES, *PREPARES)
        asked = {"evaluation": self.evaluations["sim"], "program": first, "frames": self.options.rtl_frames}
        self.log.run("record", {**asked, "code": code}, [self.frames], self._record)
        for name, program in self.programs.items():
            inputs = {"program": program, "frames": self.frames, "code": code}
            self.log.run(f"rtl-{self.names[name]}", inputs, [self.checks[name]], partial(self._check, name))

    def results(self) -> Results:
        """Everything the report shows."""
        evaluations = [load_evaluation(path) for path in self.evaluations.values()]
        checks = [FrameCheck(**read_json(path)) for path in self.checks.values()]
        files = [self.model, self.calibration, *self.programs.values()]
        return Results(
            world=self.config.world,
            level=self.config.level,
            config=self.config.to_json(),
            evaluations=evaluations,
            paired=compare(*evaluations),
            checks=checks,
            hardware=self.options.hardware,
            seconds=dict(self.log.seconds),
            files={str(path.relative_to(self.options.out)): path for path in files},
            training_log=self.run / "train.jsonl",
        )

    def _collect(self) -> None:
        from vla_datasets.collect import CollectOptions, collect

        options = CollectOptions(self.config.world, self.config.level, self.config.episodes, self.config.collect_seed)
        with progress_bar(self.console, f"collecting {options.level}", options.episodes) as bar:
            collect(options, self.data, Engine(self.options.workers), progress=bar.advance)

    def _train(self) -> None:
        from vla_training.loop import train

        with progress_bar(self.console, f"training {self.config.level}", self.config.steps) as bar:
            train(
                self.config,
                self.data,
                self.run,
                progress=lambda step, values: bar.move_to(step, f"loss {values['loss']:.4f}"),
            )

    def _export(self) -> None:
        from vla_models.export_onnx import export_onnx
        from vla_models.saved import load_policy
        from vla_training.checkpoint import pretrained_folder

        export_onnx(load_policy(pretrained_folder(self.run)), self.model)

    def _calibrate(self) -> None:
        from vla_training.calibrate import write_calibration

        write_calibration(self.data, self.run, self.calibration)

    def _compile(self, name: str) -> None:
        from vla_toolchain.vlac_cli import main as vlac

        program = self.programs[name]
        program.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["compile", str(self.model), "-o", str(program), "--config", name]
        arguments += ["--calib", str(self.calibration), "--report", str(program.parent / "compile-report")]
        code = vlac(arguments)
        if code != 0:
            raise EvaluationError(f"'vlac {' '.join(arguments)}' ended with exit code {code}; its message is above.")

    def _evaluate(self, backend: str, source: Path) -> None:
        title = f"{self.config.level} on {backend}"
        with progress_bar(self.console, title, self.options.episodes) as bar:
            result = evaluate(
                self._runner(backend, source),
                self.config.world,
                self.config.level,
                self.options.episodes,
                Engine(self.options.workers),
                bar.advance,
            )
        save_evaluation(self.evaluations[backend], result)

    def _runner(self, backend: str, source: Path) -> RunnerSpec:
        return RunnerSpec(backend, source, "" if backend == "float" else str(self.run))

    def _record(self) -> None:
        from vla_training.calibrate import write_arrays

        evaluation = load_evaluation(self.evaluations["sim"])
        spec = self._runner("sim", self.programs[self.options.hardware[0]])
        write_arrays(self.frames, record_frames(evaluation, spec, self.options.rtl_frames))

    def _check(self, name: str) -> None:
        with np.load(self.frames, allow_pickle=False) as stored:
            frames = {key: stored[key] for key in stored.files}
        count = len(next(iter(frames.values())))
        with progress_bar(self.console, f"frames on '{name}' RTL", count) as bar:
            check = check_frames(self.programs[name], name, frames, bar.advance)
        write_json(self.checks[name], check.to_json())


def _print_table(results: Results, console: Console) -> None:
    """The two tables at the end of the demo."""
    success = Table(title=f"{results.level}: success over the same {len(results.evaluations[0].episodes)} episodes")
    for heading in ("policy", "success", "95 % interval", "mean steps"):
        success.add_column(heading)
    for row in results.success_rows():
        success.add_row(*row)
    console.print(success)
    console.print(results.paired_sentence())
    machines = Table(title="recorded frames on the Verilog machine (rtl) and the runtime (sim)")
    for heading in Results.HARDWARE_HEADINGS:
        machines.add_column(heading)
    for row in results.hardware_rows():
        machines.add_row(*row)
    console.print(machines)
    console.print(results.clock_sentence())
