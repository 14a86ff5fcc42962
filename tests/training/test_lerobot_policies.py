"""A policy that LeRobot saved acts here as it acted there: imported, as ONNX, as a program, behind a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot_saved import CASES, EPISODE, Case, drawn_noise, drawn_observation, said, write_saved

from vla_isa import image
from vla_models.errors import ObservationError
from vla_models.policy import Preprocessor
from vla_models.saved import load_preprocessor
from vla_training.cli import main
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import NetworkRunner, network_runner

BY_NAME = {case.name: case for case in CASES}
QUICK = ("act_ensemble", "act_before_0_4")  # exporters write every step of a sampler, and a ResNet is large
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BY_NAME]
FIRST_OTHER = 100  # of the steps that calibration sees
MACHINES = {"act": "u50", "diffusion": "tiny"}  # either


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every case, imported."""
    from vla_training.import_lerobot.convert import import_policy

    found = {}
    for case in CASES:
        folder = tmp_path_factory.mktemp(case.name)
        import_policy(write_saved(case, folder / "saved"), folder / "ours")
        found[case.name] = folder / "ours"
    return found


class Noises:
    """In the place of a preprocessor's generator: the noises that LeRobot had."""

    def __init__(self, case: Case) -> None:
        self.case, self.step = case, 0

    def standard_normal(self, shape: tuple[int, ...], dtype: Any) -> Any:
        drawn = drawn_noise(self.case, self.step)
        return drawn[:, 0] if len(shape) == 3 else drawn[:, 1:]


def played(case: Case, runner: Any) -> Any:
    """The actions of an episode."""
    runner.reset(0, "", 0)
    noises = Noises(case)
    (preprocessor,) = runner._preprocessors.values()
    preprocessor._random = noises
    found = []
    for step in range(EPISODE):
        noises.step = step
        found.append(runner.act({0: drawn_observation(case, step)})[0])
    return np.stack(found)


def in_float(folder: Path) -> NetworkRunner:
    """A policy in torch, without the rows that evaluation adds."""
    import torch

    from vla_models.saved import load_policy

    (graph,) = load_policy(folder).graphs()

    def run(inputs: Any) -> Any:
        with torch.no_grad():
            return {"actions": graph.module(*(torch.from_numpy(inputs[name]) for name in graph.inputs())).numpy()}

    return NetworkRunner(run, lambda: load_preprocessor(folder))


def inputs_of(case: Case, preprocessor: Preprocessor, steps: range) -> dict[str, Any]:
    """The network's inputs of other frames than the episode's, for calibration."""
    windows = [[drawn_observation(case, s + i) for i in range(getattr(preprocessor, "history", 1))] for s in steps]
    seen = [w[0] if len(w) == 1 else {key: np.stack([o[key] for o in w]) for key in w[0]} for w in windows]
    frames = [preprocessor.inputs(each) for each in seen]
    return {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}


@pytest.mark.parametrize("name", BY_NAME)
def test_it_acts_as_in_lerobot(name: str, imported: dict[str, Path]) -> None:
    """Networks, samplers, normalization, images, steps of a chunk, history and ensemble; the observations differ."""
    case, wanted = BY_NAME[name], said(BY_NAME[name])
    assert (np.ptp(wanted, axis=0)[1:] > 0.1).all() and np.ptp(wanted[:, 0]) == 0, "the fixture: only one is constant"
    found = played(case, in_float(imported[name]))
    assert found.shape == wanted.shape == (EPISODE, case.actions)
    assert np.abs(found - wanted).max() < 1e-5


@pytest.mark.parametrize("name", BY_NAME)
def test_the_lerobot_that_is_installed(name: str, tmp_path: Path) -> None:
    """It still says what the fixtures hold, and the folder that it saves is imported."""
    lerobot = pytest.importorskip("lerobot", reason="LeRobot is not installed: its releases ask for an older PyTorch")
    from lerobot_reference import recorded

    from vla_training.import_lerobot.convert import import_policy

    case = BY_NAME[name]
    if case.before != (lerobot.__version__ < "0.4"):
        pytest.skip(f"LeRobot {lerobot.__version__} does not save such a folder")
    (tmp_path / "saved").mkdir()
    wanted = recorded(case, tmp_path / "saved")["actions"]
    assert np.abs(said(case) - wanted).max() < 1e-5
    import_policy(tmp_path / "saved", tmp_path / "ours")
    assert np.abs(played(case, in_float(tmp_path / "ours")) - wanted).max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_its_graph_and_its_program(name: str, imported: dict[str, Path], tmp_path: Path) -> None:
    """`vla-train export`, `vlac compile`, and the same episode with each."""
    from vlac.api import compile_file
    from vlac.options import CompileOptions

    case, folder, wanted = BY_NAME[name], imported[name], said(BY_NAME[name])
    path = tmp_path / "model.onnx"
    assert main(["export", "--policy", str(folder), "-o", str(path)]) == 0
    found = played(case, network_runner(RunnerSpec("onnx", path, str(folder))))
    assert np.abs(found - wanted).max() < 1e-5
    seen = inputs_of(case, load_preprocessor(folder), range(FIRST_OTHER, FIRST_OTHER + 32))
    program = compile_file(path, MACHINES[case.kind], CompileOptions(calibration=seen)).program
    image.save(program, tmp_path / "p.bin")
    device = played(case, network_runner(RunnerSpec("sim", tmp_path / "p.bin", str(folder))))
    away = ((device - wanted) ** 2).sum() / ((wanted - wanted.mean(axis=0)) ** 2).sum()
    assert -10 * np.log10(away) > 10, "dB of what differs from step to step"


def test_calibration_and_the_robot_make_the_same_inputs(imported: dict[str, Path]) -> None:
    import torch

    from vla_datasets.lerobot.windows import Windows
    from vla_models.saved import load_policy

    for name in ("act_images", "diffusion_image", "diffusion_state"):
        case, policy = BY_NAME[name], load_policy(imported[name])
        frames = [drawn_observation(case, step) for step in range(EPISODE)]
        columns = {key: np.stack([frame[key] for frame in frames]) for key in frames[0]}
        columns["action"] = np.zeros((EPISODE, case.actions), np.float32)
        made = Windows(columns, [""] * EPISODE, [EPISODE], policy.windows).batch(np.arange(EPISODE))
        batch = policy.prepare({k: torch.from_numpy(v) for k, v in made.items() if isinstance(v, np.ndarray)})
        assert set(batch.inputs) == set(policy.graphs()[0].inputs())
        preprocessor = load_preprocessor(imported[name])
        first = 1 - getattr(preprocessor, "history", 1)
        robot = inputs_of(case, preprocessor, range(EPISODE + first))
        for key in preprocessor._observed:
            assert np.array_equal(batch.inputs[key][-first:].numpy(), robot[key]), key
        assert batch.target.shape == (EPISODE, policy.config.horizon, case.actions)


@pytest.mark.slow
def test_the_commands_take_it(imported: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`vla-train calibrate` and `evaluate`, on Push-T, whose keys are its own."""
    pytest.importorskip("gym_pusht")
    from vla_datasets.cli import main as collect

    policy, data, calibration = str(imported["diffusion_state"]), tmp_path / "data", tmp_path / "calib.npz"
    episodes = ["--episodes", "2", "--validation-fraction", "0.5", "--workers", "1"]
    assert collect(["pusht", *episodes, "--out", str(data)]) == 0
    assert main(["calibrate", "--data", str(data), "--policy", policy, "--frames", "5", "-o", str(calibration)]) == 0
    with np.load(calibration, allow_pickle=False) as stored:
        shapes = {name: stored[name].shape for name in stored.files}
    seen = {"state": (5, 4), "environment_state": (5, 32)}
    assert shapes == {**seen, "noise": (5, 8, 2), "step_noise": (5, 3, 8, 2)}
    capfd.readouterr()
    options = ["--world", "pusht", "--level", "fixed", "--episodes", "1", "--workers", "1", "--json"]
    assert main(["evaluate", policy, *options]) == 0
    assert json.loads(capfd.readouterr().out)["episodes"] == 1


def test_it_plays_push_t(imported: dict[str, Path]) -> None:
    """It sees the last two steps, and is asked when the actions of a chunk are done."""
    pytest.importorskip("gym_pusht")
    from vla_training.evaluate.closed_loop import _play

    runner = in_float(imported["diffusion_state"])
    asked = []
    runner.watch = asked.append
    (result,) = _play(runner, "pusht", "fixed", [5])
    done = np.array(result.actions)
    assert len(done) == 300 and len(asked) == 100, "three steps of each chunk"
    assert np.array_equal(asked[0]["state"][0, :2], asked[0]["state"][0, 2:]), "nothing was seen before"
    assert not np.array_equal(asked[-1]["state"][0, :2], asked[-1]["state"][0, 2:])


def test_what_lerobot_saved_is_not_read_as_ours(
    imported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both kinds of folders have a config.json, and a policy of ours is called act, too."""
    saved = imported["act_ensemble"].parent / "saved"
    assert main(["export", "--policy", str(saved), "-o", str(tmp_path / "m.onnx")]) == 1
    assert (
        f"{saved / 'config.json'}: it is LeRobot's; 'vla-train import-lerobot {saved} -o OUT'"
        in capsys.readouterr().err
    )


def test_renamed_keys(imported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = imported["act_ensemble"].parent / "saved"
    command = ["import-lerobot", str(saved), "-o", str(tmp_path / "ours"), "--rename"]
    assert main([*command, "joints=observation.state"]) == 0
    assert "it sees state of joints, environment_state of observation" in capsys.readouterr().out
    case, mine, theirs = (BY_NAME["act_ensemble"], load_preprocessor(tmp_path / "ours"), imported["act_ensemble"])
    seen = drawn_observation(case, 0)
    wanted = load_preprocessor(theirs).inputs(seen)
    seen["joints"] = seen.pop("observation.state")
    assert all(np.array_equal(value, wanted[key]) for key, value in mine.inputs(seen).items())
    for names, said_of_it in (
        (["a=observation.stat"], "the policy observes no 'observation.stat'; it observes observation.state"),
        (["a=observation.state", "--rename", "b=observation.state"], "Two observed keys become one"),
    ):
        assert main([*command[:3], str(tmp_path / "other"), "--rename", *names]) == 1
        assert said_of_it in capsys.readouterr().err
    assert main([*command[:3], str(tmp_path / "other"), "--rename", "a"]) == 2


def test_another_sampler(imported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps of DDIM in the place of DDPM's: one noise less to draw."""
    saved = imported["diffusion_state"].parent / "saved"
    command = ["import-lerobot", "-o", str(tmp_path / "ours"), "--sampler", "DDIM", "--steps"]
    assert main([*command, "3", str(saved)]) == 0
    mine, theirs = (load_preprocessor(folder) for folder in (tmp_path / "ours", imported["diffusion_state"]))
    assert set(theirs.input_names) - set(mine.input_names) == {"step_noise"}
    assert main([*command[:2], str(tmp_path / "other"), "--steps", "10", str(saved)]) == 1
    assert "'sampler_steps' is 10; it must be from 1 to 9" in capsys.readouterr().err
    assert (
        main([*command[:2], str(tmp_path / "other"), "--steps", "3", str(imported["act_ensemble"].parent / "saved")])
        == 1
    )
    assert "a policy of type 'act' has no sampler" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours"]


def test_what_the_robot_must_send(imported: dict[str, Path]) -> None:
    case, robot = BY_NAME["diffusion_state"], load_preprocessor(imported["diffusion_state"])
    now = drawn_observation(case, 0)
    with pytest.raises(ObservationError, match=r"'observation.state' is float32 \(2,\); it must be .* \(2, 2\)"):
        robot.inputs(now)
    both = {key: np.stack([value, value]) for key, value in now.items()}
    assert robot.inputs(both)["state"].shape == (1, 4)
    with pytest.raises(ObservationError, match=r"has no 'observation.environment_state'; it has observation.state"):
        robot.inputs({"observation.state": both["observation.state"]})
    both["observation.state"][0, 0] = np.nan
    with pytest.raises(ObservationError, match="finite"):
        robot.inputs(both)
    pictures = load_preprocessor(imported["act_images"])
    seen = drawn_observation(BY_NAME["act_images"], 0)
    key = "observation.images.top"
    for wrong in (seen[key][:-1], seen[key].astype(np.float32), seen[key].transpose(2, 0, 1)):
        with pytest.raises(ObservationError, match=rf"'{key}' is .*; it must be uint8 \(48, 64, 3\)"):
            pictures.inputs({**seen, key: wrong})
    with pytest.raises(ObservationError, match="The chunk is"):
        robot.actions({"actions": np.zeros((1, 3, 2), np.float32)})


def test_its_chunks_are_forgotten(imported: dict[str, Path]) -> None:
    """At the begin of an episode, and where something else was done."""
    case, robot = BY_NAME["act_ensemble"], load_preprocessor(imported["act_ensemble"])
    chunks = np.random.default_rng(0).random((2, 1, case.options["chunk_size"], case.actions), np.float32)
    first = robot.actions({"actions": chunks[0]})
    assert not np.array_equal(robot.actions({"actions": chunks[0]}), first)
    robot.reset("")
    assert np.array_equal(robot.actions({"actions": chunks[0]}), first)
    robot.correct(first)
    assert np.array_equal(robot.actions({"actions": chunks[0]}), first)
