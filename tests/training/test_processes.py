"""Evaluation on a Ray cluster, and training by several processes: the same results as one process alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.engine import Engine
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import evaluate
from vla_training.loggers import read_log

pytestmark = pytest.mark.slow


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="pip install .[dist]")
def test_a_cluster_evaluates_the_same_episodes(run: Path) -> None:
    alone = evaluate(RunnerSpec("float", run), "babyai", "GoToObj", 34)
    assert evaluate(RunnerSpec("float", run), "babyai", "GoToObj", 34, Engine(2, "ray")) == alone


def pusht(folder: Path) -> Path:
    """A few demonstrations of Push-T."""
    collect(CollectOptions("pusht", "fixed", 2, 0), folder)
    return folder


@pytest.mark.parametrize("config", ["debug", "pusht_flow"])
def test_two_processes_train_as_one(config: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Each computes half of every batch, with what one alone would have drawn; only the order of sums differs."""
    from safetensors.numpy import load_file

    data = request.getfixturevalue("data") if config == "debug" else pusht(tmp_path / "pusht")

    def train(name: str, processes: int, *options: str) -> dict[str, np.ndarray]:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = ["-m", "vla_training", "train", "--config", config, "--device", "cpu", "--save-every", "2"]
        command += ["--batch-size", "16", "--log-every", "1"]
        command += ["--data", str(data), "--out", str(tmp_path / name), *options]
        line = [sys.executable, *(launch if processes > 1 else []), *command]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("pretrained_model") == 1  # one process speaks
        return load_file(tmp_path / name / "checkpoints" / "last" / "pretrained_model" / "model.safetensors")

    one, two = train("one", 1, "--steps", "4"), train("two", 2, "--steps", "4")
    assert all(np.allclose(one[key], two[key], atol=1e-5) for key in one)
    logs = [read_log(tmp_path / name / "train.jsonl") for name in ("one", "two")]
    assert len(logs[1]) == 4
    for single, double in zip(*logs, strict=True):  # of the whole batch, not of one process's half
        assert double["loss"] == pytest.approx(single["loss"], abs=1e-5)

    # a run that stopped after step 2 goes on
    shutil.copytree(tmp_path / "two", tmp_path / "stopped", symlinks=True)
    checkpoints = tmp_path / "stopped" / "checkpoints"
    shutil.rmtree(checkpoints / "000004")
    (checkpoints / "last").unlink()
    (checkpoints / "last").symlink_to("000002")
    resumed = train("stopped", 2, "--steps", "4")
    assert all(np.array_equal(resumed[key], two[key]) for key in two)
    optimizer = "checkpoints/000004/training_state/optimizer.safetensors"
    assert (tmp_path / "two" / optimizer).read_bytes() == (tmp_path / "stopped" / optimizer).read_bytes()
