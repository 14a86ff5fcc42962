"""A shipped driver, dense and with gates, from its checkpoint to the Verilog machine and through the town.

    vla-train demo-driving --out runs/demo-driving

Nothing is trained: the policies are in the repository, made by a script beside them. A few demonstrations are collected
for calibration. Each stage leaves its files in the output folder; started again, only stages with changed inputs or
code run.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from vla_datasets.engine import Engine
from vla_datasets.files import write_json
from vla_datasets.worlds.registry import find_world
from vla_isa import hardware
from vla_isa.documents import read_json
from vla_isa.files import make_folder
from vla_models.driving.names import CONTROL
from vla_models.saved import load_preprocessor
from vla_training.demo.circuits import Circuit, measure_circuits
from vla_training.demo.driving_page import DrivingResults, print_tables, write_driving_page
from vla_training.demo.stages import MACHINES, PREPARES, StageLog, file_names, package_digest
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import evaluate, load_evaluation, save_evaluation
from vla_training.evaluate.frame_check import FrameCheck, check_frames, record_frames
from vla_training.progress import progress_bar

__all__ = ["DrivingDemoOptions", "run_driving_demo"]

_WORLD = "driving"
_DEMONSTRATED = "mixed+pushed"  # level of the demonstrations
_HELD_OUT, _SEED = 0.5, 1  # half of them calibrate; they are other ones than the policies learned from
_POLICIES = ("dense", "gated")


@dataclass(frozen=True)
class DrivingDemoOptions:
    """What to run and where.

    Attributes:
        policies: folder with the saved policies `dense` and `gated`.
        out: folder for everything that is made.
        level: of the world, that is driven.
        episodes: routes that each policy drives, in float and in int8.
        rtl_frames: of each policy, that run on the Verilog machine.
        demonstrations: that are collected for calibration.
        workers: processes.
        hardware: configs; the first one's programs drive.
    """

    policies: Path = Path("examples/driving")
    out: Path = Path("runs/demo-driving")
    level: str = "clear"
    episodes: int = 12
    rtl_frames: int = 6
    demonstrations: int = 8
    workers: int = 2
    hardware: tuple[str, ...] = ("u50", "tiny")

    def __post_init__(self) -> None:
        for name in ("episodes", "rtl_frames"):
            if getattr(self, name) < 1:
                raise EvaluationError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1.")
        file_names(self.hardware)  # refuses equal ones
        if self.policies.resolve() in (self.out.resolve(), *self.out.resolve().parents):
            raise EvaluationError(f"--out is {self.out}, in the folder of the policies; give another one.")
        for name in _POLICIES:
            if not (self.policies / name).is_dir():
                raise EvaluationError(
                    f"--policies is {self.policies}, and there is no saved policy {self.policies / name}; give the "
                    "folder examples/driving of a checkout."
                )


def run_driving_demo(options: DrivingDemoOptions, console: Console) -> DrivingResults:
    """Run all stages, print the tables and write `report.html`.

    Raises:
        EvaluationError: RTL and simulator differ, or the compiler refused a model.
    """
    for name in options.hardware:
        hardware.load(name)  # refuses an unknown one before the work
    with closing(find_world(_WORLD).make(options.level)):  # as an unknown level
        pass
    make_folder(options.out)
    demo = _DrivingDemo(options, console)
    demo.compile()
    demo.drive()
    demo.check_on_rtl()
    results = demo.results()
    write_driving_page(options.out / "report.html", results)
    print_tables(results, console)
    console.print(f"report: {options.out / 'report.html'}", soft_wrap=True)
    results.refuse_differences()
    return results


class _DrivingDemo:
    """The stages in order; each method names its inputs and outputs once, for `StageLog`."""

    def __init__(self, options: DrivingDemoOptions, console: Console) -> None:
        self.options, self.console, out = options, console, options.out
        self.log = StageLog(out / "stages", lambda text: console.print(text, markup=False, highlight=False))
        self.data = out / "data"
        self.policies = {name: options.policies / name for name in _POLICIES}
        self.circuits = out / "circuits.json"
        self.names = file_names(options.hardware)

    def compile(self) -> None:
        """Collect frames for calibration, export each policy and compile it for every hardware config."""
        asked = {"level": _DEMONSTRATED, "episodes": self.options.demonstrations, "held_out": _HELD_OUT, "seed": _SEED}
        self.log.run("collect", {**asked, "code": package_digest("vla_datasets")}, [self.data], self._collect)
        code = package_digest("vlac", "vla_isa", "vla_toolchain")
        for name, policy in self.policies.items():
            model, calibration = self._file(name, "model.onnx"), self._file(name, "calib.npz")
            inputs = {"policy": policy, "code": package_digest("vla_models")}
            self.log.run(f"export-{name}", inputs, [model], partial(self._export, name))
            inputs = {"policy": policy, "data": self.data, "code": package_digest(*PREPARES)}
            self.log.run(f"calibrate-{name}", inputs, [calibration], partial(self._calibrate, name))
            for config in self.options.hardware:
                machine = hardware.load(config).to_dict()
                inputs = {"model": model, "calibration": calibration, "code": code, "hardware": machine}
                action = partial(self._compile, name, config)
                self.log.run(f"compile-{name}-{self.names[config]}", inputs, [self._program(name, config)], action)

    def drive(self) -> None:
        """Drive the same routes with each policy, in float and in int8."""
        asked = {"level": self.options.level, "episodes": self.options.episodes}
        for name in _POLICIES:
            for backend in ("float", "sim"):
                code = package_digest(*PREPARES, *(MACHINES if backend == "sim" else ()))
                spec, output = self._spec(name, backend), self._evaluation(name, backend)
                inputs = {**asked, "policy": self.policies[name], "file": spec.path, "code": code}
                self.log.run(f"drive-{name}-{backend}", inputs, [output], partial(self._drive, spec, output, name))

    def check_on_rtl(self) -> None:
        """Compare sim and rtl on frames that the int8 policies saw, and on every command's entry point."""
        first, code = self.options.hardware[0], package_digest(*MACHINES, *PREPARES)
        for name in _POLICIES:
            program, frames = self._program(name, first), self._file(name, "frames.npz")
            evaluation = self._evaluation(name, "sim")
            inputs: dict[str, Any] = {"evaluation": evaluation, "program": program, "policy": self.policies[name]}
            inputs |= {"frames": self.options.rtl_frames, "code": code}
            self.log.run(f"record-{name}", inputs, [frames], partial(self._record, name))
            for config in self.options.hardware:
                inputs = {"program": self._program(name, config), "frames": frames, "code": code}
                output = self._check(name, config)
                self.log.run(
                    f"rtl-{name}-{self.names[config]}", inputs, [output], partial(self._check_frames, name, config)
                )
        inputs = {name: self._program(name, first) for name in _POLICIES}
        inputs |= {f"policy-{name}": self.policies[name] for name in _POLICIES}
        inputs |= {"frames": self._file("gated", "frames.npz"), "code": code}
        self.log.run("circuits", inputs, [self.circuits], self._measure_circuits)

    def results(self) -> DrivingResults:
        """Everything the page shows."""
        return DrivingResults(
            level=self.options.level,
            evaluations={(n, b): load_evaluation(self._evaluation(n, b)) for n in _POLICIES for b in ("float", "sim")},
            checks={
                (n, c): FrameCheck(**read_json(self._check(n, c))) for n in _POLICIES for c in self.options.hardware
            },
            circuits=[_circuit(stored) for stored in read_json(self.circuits)["circuits"]],
            seconds=dict(self.log.seconds),
            files={
                str(path.relative_to(self.options.out)): path
                for path in (self._program(n, c) for n in _POLICIES for c in self.options.hardware)
            },
        )

    def _file(self, policy: str, name: str) -> Path:
        return self.options.out / policy / name

    def _program(self, policy: str, config: str) -> Path:
        return self._file(policy, f"{self.names[config]}.bin")

    def _evaluation(self, policy: str, backend: str) -> Path:
        return self._file(policy, f"evaluate-{backend}.json")

    def _check(self, policy: str, config: str) -> Path:
        return self._file(policy, f"rtl-{self.names[config]}.json")

    def _spec(self, name: str, backend: str) -> RunnerSpec:
        if backend == "float":
            return RunnerSpec(backend, self.policies[name])
        return RunnerSpec(backend, self._program(name, self.options.hardware[0]), str(self.policies[name]))

    def _collect(self) -> None:
        from vla_datasets.collect import CollectOptions, collect

        options = CollectOptions(_WORLD, _DEMONSTRATED, self.options.demonstrations, _SEED, _HELD_OUT)
        with progress_bar(self.console, f"collecting {options.level}", options.episodes) as bar:
            collect(options, self.data, Engine(self.options.workers), progress=bar.advance)

    def _export(self, name: str) -> None:
        from vla_models.export_onnx import export_onnx
        from vla_models.saved import load_policy

        model = self._file(name, "model.onnx")
        make_folder(model.parent)
        export_onnx(load_policy(self.policies[name]), model, circuits=name == "gated")

    def _calibrate(self, name: str) -> None:
        from vla_training.calibrate import write_calibration

        write_calibration(self.data, self.policies[name], self._file(name, "calib.npz"))

    def _compile(self, name: str, config: str) -> None:
        from vla_toolchain.vlac_cli import main as vlac

        arguments = ["compile", str(self._file(name, "model.onnx")), "-o", str(self._program(name, config))]
        arguments += ["--config", config, "--calib", str(self._file(name, "calib.npz"))]
        arguments += ["--report", str(self._file(name, f"compile-report-{self.names[config]}"))]
        code = vlac(arguments)
        if code != 0:
            raise EvaluationError(f"'vlac {' '.join(arguments)}' ended with exit code {code}; its message is above.")

    def _drive(self, spec: RunnerSpec, output: Path, name: str) -> None:
        options = self.options
        with progress_bar(self.console, f"{name} on {spec.backend}", options.episodes) as bar:
            engine = Engine(options.workers)
            result = evaluate(spec, _WORLD, options.level, options.episodes, engine, bar.advance)
        save_evaluation(output, result)

    def _record(self, name: str) -> None:
        from vla_training.calibrate import write_arrays

        evaluation = load_evaluation(self._evaluation(name, "sim"))
        frames = record_frames(evaluation, self._spec(name, "sim"), self.options.rtl_frames)
        count = len(next(iter(frames.values())))
        chosen = np.linspace(0, count - 1, self.options.rtl_frames).astype(np.int64)
        write_arrays(self._file(name, "frames.npz"), {key: values[chosen] for key, values in frames.items()})

    def _check_frames(self, name: str, config: str) -> None:
        frames = self._frames(name)
        with progress_bar(self.console, f"{name} on '{config}' RTL", self.options.rtl_frames) as bar:
            choose: Any = getattr(load_preprocessor(self.policies[name]), "entry", None)
            check = check_frames(self._program(name, config), config, frames, bar.advance, choose)
        write_json(self._check(name, config), check.to_json())

    def _measure_circuits(self) -> None:
        from vla_models.saved import load_policy
        from vla_training.demo.circuit_inputs import circuit_inputs

        dense, gated = (load_policy(self.policies[name]) for name in _POLICIES)
        frame = {key: values[:1] for key, values in self._frames("gated").items()}
        programs = {name: self._program(name, self.options.hardware[0]) for name in _POLICIES}
        circuits = measure_circuits(programs["dense"], programs["gated"], *circuit_inputs(dense, gated, frame), CONTROL)
        write_json(self.circuits, {"circuits": [circuit.to_json() for circuit in circuits]})

    def _frames(self, name: str) -> dict[str, Any]:
        with np.load(self._file(name, "frames.npz"), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}


def _circuit(stored: Any) -> Circuit:
    return Circuit(**{**stored, "tiles": tuple(tuple(row) for row in stored["tiles"])})
