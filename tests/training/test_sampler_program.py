"""A program of a sampler, whose number of the round nobody gives, acts as its policy does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_datasets.keys import STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_isa import image
from vla_models.registry import find_policy
from vla_models.saved import save_policy
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import make_runner
from vlac.api import compile_file
from vlac.options import CompileOptions


def test_a_sampler_acts_as_its_policy(tmp_path: Path) -> None:
    import torch

    from vla_models.export_onnx import export_onnx

    torch.manual_seed(1)
    spec = find_policy("mlp_policy")
    policy = spec.make(spec.configured({"width": 16, "blocks": 1})).eval()
    (tmp_path / "policy").mkdir()
    save_policy(tmp_path / "policy", spec.name, policy.config, policy.state_dict())
    export_onnx(policy, tmp_path / "model.onnx")
    (graph,) = policy.graphs()
    calibration = {key: value.numpy() for key, value in graph.example(32, seed=1).items()}
    program = compile_file(tmp_path / "model.onnx", "tiny", CompileOptions(calibration=calibration)).program
    image.save(program, tmp_path / "p.bin")
    wanted = {value.name for value in program.model_inputs} - {"observation", "noise"}
    assert len(wanted) == 1, "the number of the round, which may be left out"
    rng = np.random.default_rng(2)
    seen = {key: rng.uniform(100, 400, n).astype(np.float32) for key, n in ((STATE, 2), (KEYPOINTS, 16), (GOAL, 16))}
    done = []
    for kind, path, named in (("float", "policy", ""), ("sim", "p.bin", str(tmp_path / "policy"))):
        runner = make_runner(RunnerSpec(kind, tmp_path / path, named))
        runner.reset(0, "push", 5)
        done.append(runner.act({0: seen})[0])
    assert np.abs(done[0] - done[1]).max() < 10, "px"
    other = find_policy("pi_zero")
    (tmp_path / "other").mkdir()
    save_policy(tmp_path / "other", other.name, other.configured({}), {"none": torch.zeros(1)})
    with pytest.raises(EvaluationError, match="other' makes corners, state, noise"):
        make_runner(RunnerSpec("sim", tmp_path / "p.bin", str(tmp_path / "other")))
    for kind, path in (("onnx", "model.onnx"), ("sim", "p.bin")):  # how much of a chunk it did, nobody said
        with pytest.raises(EvaluationError, match="'mlp_policy' sees and does depends on its options"):
            make_runner(RunnerSpec(kind, tmp_path / path))
