"""Tower and head as entry points of one program, and policies of one tower in one program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from waypoint_frames import frames, made


def compiled(folder: Path, *models: str) -> Any:
    from vla_isa import image
    from vla_toolchain.vlac_cli import main as vlac

    files = [str(folder / f"{name}.onnx") for name in models]
    assert vlac(["compile", *files, "-o", str(folder / "p.bin"), "--config", "tiny", "--calib", "random"]) == 0
    return image.load(folder / "p.bin")


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_the_two_graphs_are_the_one(pooling: str) -> None:
    import torch

    whole, split = (made(pooling=pooling, pooling_heads=2, split=s) for s in (False, True))
    see, decide = split.graphs()
    picture, state, intent = whole.graphs()[0].example(3).values()
    with torch.no_grad():
        tokens = see.module(picture)
        assert tuple(tokens.shape[1:]) == decide.inputs()["tokens"][1:]
        torch.testing.assert_close(decide.module(tokens, state, intent), whole(picture, state, intent))


def test_tokens_stay_on_the_device(tmp_path: Path) -> None:
    """Seen once, decided twice, with other states; the command's scores run both entry points for each frame."""
    import vlarun
    from vla_models.export_onnx import TOLERANCE, export_onnx
    from vla_models.saved import save_policy
    from vla_training.evaluate.backends import RunnerSpec
    from vla_training.evaluate.runners import make_runner

    policy = made(pooling="attention", pooling_heads=2, split=True)
    assert export_onnx(policy, tmp_path / "m.onnx") <= TOLERANCE
    program = compiled(tmp_path, "m-see", "m-decide")
    assert list(program.entries) == ["see", "decide"]
    assert [(c.model_input, c.entry, c.model_output) for c in program.at("decide").carried] == [
        ("tokens", "see", "tokens")
    ]
    (tmp_path / "saved").mkdir()
    save_policy(tmp_path / "saved", "vlm_waypoint", policy.config, policy.state_dict())
    found = {key: value[0] for key, value in frames(2).items()}
    runners = [
        make_runner(RunnerSpec("float", tmp_path / "saved")),
        make_runner(RunnerSpec("sim", tmp_path / "p.bin", str(tmp_path / "saved"))),
    ]
    said = []
    for runner in runners:
        runner.reset(0, "drive", 0)
        said.append(runner.act({0: found})[0])
    assert said[0].shape == (20, 2) and np.abs(said[0] - said[1]).max() < 0.1 * np.abs(said[0]).max()

    inputs = {
        name: value.numpy() for name, value in made(pooling="attention", pooling_heads=2).graphs()[0].example().items()
    }
    session = vlarun.open_session(str(tmp_path / "p.bin"))
    session.run({"image": inputs["image"]}, entry="see")
    known = {name: inputs[name] for name in ("state", "intent")}
    first = session.run(known, entry="decide")["motion"]
    other = session.run({**known, "state": -known["state"]}, entry="decide")["motion"]
    again = session.run(known, entry="decide")["motion"]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_policies_of_one_tower_share_its_weights(tmp_path: Path) -> None:
    """Two heads over it: the program stores the tower once, and each policy says what it says alone."""
    from vla_models.export_onnx import export_onnx

    policies = {"a": made(), "b": made(hidden=(20,))}
    policies["b"].tower.load_state_dict(policies["a"].tower.state_dict())
    words = {}
    for name, policy in policies.items():
        export_onnx(policy, tmp_path / f"{name}.onnx")
        words[name] = compiled(tmp_path, name).weights.size
    both = compiled(tmp_path, "a", "b")
    assert list(both.entries) == ["a", "b"]
    tower = sum(w.numel() for w in policies["a"].tower.encoder.parameters() if w.ndim == 2)
    assert both.weights.size <= words["a"] + words["b"] - tower
