"""A policy without its gates: each command's entry point does what the gates would, and is what an observation gets.

The references are the policy with its gates in torch, and the program that multiplies by them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import vlac
import vlarun
from vla_datasets.keys import STATE
from vla_isa import image
from vla_isa.errors import VlaError
from vla_models.driving.names import BRANCH_OF_COMMAND, BRANCHES, COMMAND, CONTROL
from vla_models.driving_tiles.preprocess import DrivingTilesPreprocessor
from vla_models.saved import load_preprocessor
from vla_toolchain import vlarun_cli
from vla_toolchain.serve_command import _policy
from vla_training.cli import main
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import network_runner

SMALL = {"channels": (32, 48), "strides": (2, 2), "image_size": 16, "measure_features": 8, "fused": 16, "branch": (16,)}
KEY = "vlac.task_masks"
Arrays = dict[str, np.ndarray]


class Case:
    """A gated driver with random weights, its model without gates as a program, and frames of all commands."""

    def __init__(self, folder: Path) -> None:
        from driving_samples import DrivingTiles, torch

        from vla_models.driving_tiles.config import DrivingTilesConfig
        from vla_models.saved import save_policy

        torch.manual_seed(0)
        self.folder, config = folder, DrivingTilesConfig(**SMALL, gated=True)  # type: ignore[arg-type]
        self.policy = DrivingTiles(config).eval()
        gates: Any = self.policy.gates
        with torch.no_grad():
            gates.hidden.weight.normal_()
            gates.logits.weight.normal_()
            gates.logits.bias.fill_(0.3)
        self.saved = {"gated": folder / "gated", "dense": folder / "dense"}
        for name, path in self.saved.items():
            path.mkdir()
            one = config if name == "gated" else DrivingTilesConfig(**SMALL)  # type: ignore[arg-type]
            made = self.policy if name == "gated" else DrivingTiles(one)
            save_policy(path, "driving_tiles", one, made.state_dict())
        assert main(["export", "--policy", str(self.saved["gated"]), "--circuits", "-o", str(folder / "m.onnx")]) == 0
        self.model, self.program = onnx.load(folder / "m.onnx"), folder / "m.bin"
        frames = [self.policy.example_inputs(1, seed) for seed in range(24)]
        self.frames: Arrays = {name: torch.cat([frame[name] for frame in frames]).numpy() for name in frames[0]}
        self.frames[COMMAND] = np.eye(len(BRANCHES), dtype=np.float32)[np.arange(24) % len(BRANCHES)]
        self.program.write_bytes(image.dumps(self.compiled(self.model)))

    def compiled(self, model: onnx.ModelProto) -> Any:
        return vlac.compile_model(model, "tiny", vlac.CompileOptions(calibration=self.frames))

    def frame(self, number: int) -> Arrays:
        return {name: values[number : number + 1] for name, values in self.frames.items()}

    def wanted(self) -> np.ndarray:
        """The control of all frames, of torch with the gates."""
        import torch

        with torch.no_grad():
            outputs: np.ndarray = self.policy.graphs()[0].module(*map(torch.from_numpy, self.frames.values()))[0]
        return np.asarray(outputs)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    pytest.importorskip("torch")
    return Case(tmp_path_factory.mktemp("circuits"))


def masks_of(model: onnx.ModelProto) -> Any:
    return json.loads(next(p.value for p in model.metadata_props if p.key == KEY))


def test_the_graph_has_no_gates_and_says_them(case: Case) -> None:
    from vla_models.export_onnx import exported

    (whole,) = case.policy.graphs()
    gated = exported(whole)
    assert masks_of(case.model) == {**masks_of(gated), "input": COMMAND}
    products = [sum(n.op_type == "Mul" for n in m.graph.node) for m in (gated, case.model)]
    assert products == [products[1] + len(SMALL["channels"]), products[1]]  # type: ignore[arg-type]


def test_each_entry_has_the_bytes_of_the_program_that_multiplies(case: Case) -> None:
    """With the same calibration: there too, a sample is seen with the masks of its command."""
    from vla_models.export_onnx import exported

    (whole,) = case.policy.graphs()
    gated = exported(whole)
    next(p for p in gated.metadata_props if p.key == KEY).value = json.dumps(masks_of(case.model))
    multiplies, session = vlarun.Session(case.compiled(gated)), vlarun.Session(str(case.program))
    for number in range(12):
        task = BRANCHES[number % len(BRANCHES)]
        found = session.run(case.frame(number), raw=True, entry=task)
        cycles = session.stats["cycles"]
        for name, values in multiplies.run(case.frame(number), raw=True).items():
            assert np.array_equal(values, found[name]), (task, name)
        multiplies.run(case.frame(number), entry=task)
        assert cycles < multiplies.stats["cycles"]
    others = [session.run(case.frame(0), raw=True, entry=task)[CONTROL].tobytes() for task in ("main", *BRANCHES)]
    assert len(set(others)) > 2  # so another entry point would have been seen


def test_the_runner_takes_each_frame_to_its_command(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, wanted = network_runner(RunnerSpec("sim", case.program, str(case.saved["gated"]))), case.wanted()
    errors = np.abs(runner._compute(case.frames)[CONTROL] - wanted)
    assert errors.max() < 0.1 * np.abs(wanted).max()

    def next_one(self: object, inputs: Any) -> str:
        return BRANCHES[(int(inputs[COMMAND].argmax()) + 1) % len(BRANCHES)]

    monkeypatch.setattr(DrivingTilesPreprocessor, "entry", next_one)
    wrong = network_runner(RunnerSpec("sim", case.program, str(case.saved["gated"])))
    assert np.abs(wrong._compute(case.frames)[CONTROL] - wanted).max() > 2 * errors.max()


def test_what_cannot_choose_is_refused(case: Case, tmp_path: Path) -> None:
    program = image.load(case.program)
    del program.manifest["policies"]  # of a policy of other weights it would be refused at once
    image.save(program, tmp_path / "any.bin")
    runner = network_runner(RunnerSpec("sim", tmp_path / "any.bin", str(case.saved["dense"])))
    with pytest.raises(VlaError, match=r"has tasks \(main, follow_lane.*and the policy chooses none"):
        runner._compute(case.frame(0))
    with pytest.raises(EvaluationError, match="is a policy without its gates"):
        network_runner(RunnerSpec("onnx", case.folder / "m.onnx", str(case.saved["gated"])))
    with pytest.raises(VlaError, match="has no gates"):
        from vla_models.export_onnx import export_onnx
        from vla_models.saved import load_policy

        export_onnx(load_policy(case.saved["dense"]), tmp_path / "m.onnx", circuits=True)
    other = onnx.ModelProto()
    other.CopyFrom(case.model)
    said = masks_of(other)
    said["tasks"] = {f"{task}_": masks for task, masks in said["tasks"].items()}
    next(p for p in other.metadata_props if p.key == KEY).value = json.dumps(said)
    (tmp_path / "m.bin").write_bytes(image.dumps(case.compiled(other)))
    runner = network_runner(RunnerSpec("sim", tmp_path / "m.bin", str(case.saved["gated"])))
    with pytest.raises(VlaError, match="the policy's entry point is 'follow_lane', and the program has main, follow"):
        runner._compute(case.frame(0))


def test_a_server_chooses_too(case: Case) -> None:
    session = vlarun.Session(str(case.program))
    episode = _policy(str(case.saved["gated"]), session)()
    assert episode.entry is not None and not episode.calls
    assert [episode.entry(case.frame(number)) for number in range(6)] == list(BRANCHES)
    del session.program.manifest["policies"]  # of a policy of other weights it would be refused at once
    with pytest.raises(VlaError, match="the policy chooses none"):
        entry = _policy(str(case.saved["dense"]), session)().entry
        assert entry is not None
        entry(case.frame(0))


def test_served_observations_are_answered_by_their_commands_entry(case: Case) -> None:
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    from vla_models.driving.names import CAMERA, COMMAND_KEY, WORLD_SIZE

    command = [sys.executable, "-m", "vlarun", "serve", str(case.program), "--policy", str(case.saved["gated"])]
    pixels = np.random.default_rng(0).integers(0, 256, (WORLD_SIZE, WORLD_SIZE, 3), np.uint8)
    session, here = vlarun.Session(str(case.program)), load_preprocessor(case.saved["gated"])
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = re.search(r"ws://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert port
        client = WebsocketClientPolicy("127.0.0.1", int(port[1]))
        seen = set()
        for number, branch in enumerate(BRANCH_OF_COMMAND):
            said = {CAMERA: pixels, STATE: np.array([3.0], np.float32), COMMAND_KEY: np.array([number])}
            outputs = session.run(here.inputs(said), entry=BRANCHES[branch])
            found = client.infer({**said, "prompt": "drive along the route"})
            np.testing.assert_array_equal(found["actions"], here.actions(outputs))
            seen.add(found["actions"].tobytes())
        assert len(seen) > 2
        with pytest.raises(RuntimeError, match="the policy says which entry points run; leave out 'entry'"):
            client.infer({**said, "prompt": "drive along the route", "entry": "main"})
        process.terminate()
    assert vlarun_cli.main(["serve", *command[4:], "--entry", "stop"]) != 0
