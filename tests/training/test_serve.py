"""A trained policy behind the server acts as the runner of the evaluation does, and begins episodes where it should."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from vla_datasets.worlds.episode import WorldEpisode
from vla_datasets.worlds.registry import find_world
from vla_isa.errors import VlaError
from vla_models.babyai_cnn.preprocess import CAMERA, BabyAIPreprocessor
from vla_toolchain.serve_command import PolicyEpisode, served_preprocessor
from vla_training.evaluate.backends import RunnerSpec, ServerSpec
from vla_training.evaluate.closed_loop import evaluate
from vla_training.evaluate.runners import make_runner


def view(value: int) -> dict[str, Any]:
    return {CAMERA: np.full((56, 56, 3), value, np.uint8)}


def test_an_episode_begins_with_its_task() -> None:
    episode = PolicyEpisode(BabyAIPreprocessor())
    for observation, message in (
        (view(0), "no task"),
        ({"prompt": 3}, "no task"),
        ({"prompt": "go to a red ball", "seed": -1}, "'seed'"),
    ):
        with pytest.raises(VlaError, match=message):
            episode.begins(observation, False)
    first = {**view(1), "prompt": "go to a red ball"}
    assert episode.begins(first, False)
    fresh = episode.inputs(first)["image"]
    assert not episode.begins({**view(2), "prompt": "go to a red ball"}, False) and not episode.begins(view(2), False)
    stack = (episode.inputs(view(2))["image"] * 255).round()
    assert stack[0, ::3, 0, 0].tolist() == [1, 1, 1, 2]  # it remembers the frames before
    for reset, task in ((True, "go to a red ball"), (False, "go to a blue box")):
        assert episode.begins({**view(1), "task": task}, reset)
        np.testing.assert_array_equal(episode.inputs(view(1))["image"], fresh)


def test_a_run_is_served_by_its_newest_policy(tmp_path: Path) -> None:
    """As `vla-train export` and `evaluate` take it: the run's own config.json is that of the training."""
    saved = tmp_path / "checkpoints" / "last" / "pretrained_model"
    saved.mkdir(parents=True)
    (saved / "config.json").write_text('{"type": "babyai_cnn"}')
    (tmp_path / "config.json").write_text('{"steps": 3}')
    for folder in (tmp_path, saved.parent, saved):
        assert isinstance(served_preprocessor(str(folder))(), BabyAIPreprocessor)
    with pytest.raises(VlaError, match="is not a saved policy"):
        served_preprocessor(str(saved.parent.parent))


@pytest.mark.slow
def test_the_policy_acts_as_in_the_evaluation(run: Path, data: Path, tmp_path: Path) -> None:
    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy
    from vla_toolchain.vlac_cli import main as vlac
    from vla_training.calibrate import write_calibration
    from vla_training.checkpoint import pretrained_folder

    folder = pretrained_folder(run)
    model, program, calibration = tmp_path / "model.onnx", tmp_path / "prog.bin", tmp_path / "calib.npz"
    export_onnx(load_policy(folder), model)
    write_calibration(data, run, calibration, 16)
    assert vlac(["compile", str(model), "-o", str(program), "--config", "tiny", "--calib", str(calibration)]) == 0

    runner = make_runner(RunnerSpec("sim", program, str(run)))
    command = [sys.executable, "-m", "vlarun", "serve", str(program), "--policy", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split("127.0.0.1:")[1].split()[0])
            client = WebsocketClientPolicy("127.0.0.1", port)
            for seed in (5, 6):
                episode = WorldEpisode(find_world("babyai").make("GoToObj"), seed)
                runner.reset(0, episode.task, seed)
                begin: dict[str, Any] = {"reset": True, "seed": seed}
                for _ in range(8):
                    wanted = runner.act({0: episode.observation})[0]
                    found = client.infer({**episode.observation, "prompt": episode.task, **begin})
                    assert found["actions"].tolist() == [wanted]
                    begin = {}
                    if episode.step(wanted).ended:
                        break
            here, there = (
                evaluate(spec, "babyai", "GoToObj", 3)
                for spec in (RunnerSpec("sim", program, str(run)), ServerSpec(f"127.0.0.1:{port}"))
            )
            assert there == replace(here, backend="server") and here.cycles
            with pytest.raises(RuntimeError, match=r"must be uint8 \(56, 56, 3\)"):
                client.infer({CAMERA: np.zeros((1, 1)), "prompt": "go to a red ball"})
            with pytest.raises(RuntimeError, match="has no 'observation"):
                client.infer({"prompt": "go to a red ball"})
        finally:
            server.terminate()
        assert "2 refused" in (said := server.stdout.read()) and "0 failed" in said
