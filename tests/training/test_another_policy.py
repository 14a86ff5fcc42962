"""The contracts hold for a policy of another shape: collect, train, resume, export, compile, evaluate in lockstep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from point_mass import POLICY, WORLD, PointMass, PointPreprocessor

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.keys import ACTION, STATE
from vla_datasets.seeds import FIRST_VALIDATION_SEED
from vla_datasets.worlds import registry as worlds
from vla_models import registry as policies
from vla_models.draws import Draws
from vla_training.config.load import load_config
from vla_training.evaluate import runners
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import compare, evaluate, parted, play_module
from vla_training.loggers import read_log

CONFIG = """
world = "point"
level = "square"
policy = "point_mlp"
objective = "mean_squared_error"
episodes = 20
steps = 4
batch_size = 16
warmup_steps = 1
log_every = 1
validate_every = 2
save_every = 2
threads = 1
ema_decay = 0.5
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "WORLDS", (*worlds.WORLDS, WORLD))
    for module in (policies, runners):
        monkeypatch.setattr(module, "POLICIES", (*policies.POLICIES, POLICY))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_from_demonstrations_to_a_program(tmp_path: Path) -> None:
    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy
    from vla_toolchain.vlac_cli import main as vlac
    from vla_training.calibrate import write_calibration
    from vla_training.loop import train

    data, run = tmp_path / "data", tmp_path / "run"
    (tmp_path / "point.toml").write_text(CONFIG)
    config = load_config(str(tmp_path / "point.toml"), ["--policy-options.hidden", "16"])
    assert collect(CollectOptions(config.world, config.level, config.episodes), data)

    train(config, data, run, stop_after=2)
    train(config, data, run)
    train(config, data, tmp_path / "whole")
    last = "checkpoints/000004"
    assert _files(run / last) == _files(tmp_path / "whole" / last)
    log = read_log(run / "train.jsonl")
    assert [entry["step"] for entry in log] == [1, 2, 3, 4] and "validation_rmse" in log[-1]
    saved = json.loads((run / last / "pretrained_model" / "config.json").read_text())
    statistics = json.loads((data / "meta" / "stats.json").read_text())[STATE]
    assert saved["mean"] == statistics["mean"] and saved["std"] == statistics["std"] and saved["hidden"] == 16

    model, program, calibration = tmp_path / "model.onnx", tmp_path / "prog.bin", tmp_path / "calib.npz"
    export_onnx(load_policy(run / last / "pretrained_model"), model)
    assert write_calibration(data, run, calibration, 32) == (19, [calibration])
    options = ["--config", "tiny", "--calib", str(calibration)]
    assert vlac(["compile", str(model), "-o", str(program), *options]) == 0

    found = {
        backend: evaluate(RunnerSpec(backend, path, policy), "point", "square", 20)
        for backend, path, policy in (("float", run, ""), ("onnx", model, str(run)), ("sim", program, str(run)))
    }
    for evaluation in found.values():
        assert len(evaluation.episodes) == 20 and 0 <= evaluation.score <= 1
        assert all(len(action) == 2 for episode in evaluation.episodes for action in episode.actions)
    assert found["sim"].cycles and found["float"].cycles is None
    one, other = (np.array(found[backend].episodes[0].actions[:2]) for backend in ("float", "sim"))
    assert np.allclose(one, other, atol=0.1) and not np.array_equal(one, other)  # int8 is near, not equal
    assert set(parted(found["float"], found["sim"])) <= {0, 1, 2, 3, None}
    assert 0 <= compare(found["float"], found["sim"]).p_value <= 1


def test_a_program_whose_last_nodes_are_on_the_host(tmp_path: Path) -> None:
    """Its device gives tensors of other names than the model."""
    import onnx
    import torch

    import vlarun
    from vla_models.saved import save_policy
    from vla_toolchain.vlac_cli import main as vlac

    model, path = tmp_path / "model.onnx", tmp_path / "prog.bin"
    text = """<ir_version: 8, opset_import: ["" : 17]>
        heads (float[1, 4] state) => (float[1, 4, 2] chunk)
        <float[4, 4] left, float[4, 4] right, int64[3] shape = {1, 4, 2}> {
            a = MatMul(state, left)
            b = MatMul(state, right)
            c = Softmax <axis = -1> (a)
            d = Softmax <axis = -1> (b)
            e = Concat <axis = -1> (c, d)
            chunk = Reshape(e, shape)
        }"""
    graph = onnx.parser.parse_model(text)
    numbers = np.random.default_rng(0)
    for name in ("left", "right"):
        weights = numbers.standard_normal((4, 4)).astype(np.float32)
        kept = [tensor for tensor in graph.graph.initializer if tensor.name != name]
        del graph.graph.initializer[:]
        graph.graph.initializer.extend([*kept, onnx.numpy_helper.from_array(weights, name)])
    onnx.save(graph, model)
    assert vlac(["compile", str(model), "-o", str(path), "--config", "tiny", "--calib", "random"]) == 0

    assert "chunk" not in [t.name for t in vlarun.Session(path).program.outputs]
    (tmp_path / "policy").mkdir()
    save_policy(tmp_path / "policy", POLICY.name, POLICY.configured({}), {"none": torch.zeros(1)})
    found = evaluate(RunnerSpec("sim", path, str(tmp_path / "policy")), "point", "square", 2)
    first = [episode.actions[: 2 * (len(episode.actions) // 2)] for episode in found.episodes]
    assert all(np.allclose(np.sum(np.reshape(each, (-1, 4)), axis=1), 1) for each in first)


def test_it_learns(tmp_path: Path) -> None:
    from vla_models.saved import load_policy
    from vla_training.checkpoint import pretrained_folder
    from vla_training.loop import train

    (tmp_path / "point.toml").write_text(CONFIG)
    options = ["--steps", "400", "--ema-decay", "0", "--learning-rate", "1e-2", "--validate-every", "400"]
    options += ["--episodes", "60", "--policy-options.hidden", "64"]
    config = load_config(str(tmp_path / "point.toml"), [*options, "--validate-episodes", "10", "--save-every", "400"])
    collect(CollectOptions(config.world, config.level, config.episodes), tmp_path / "data")
    train(config, tmp_path / "data", tmp_path / "run")
    log = read_log(tmp_path / "run" / "train.jsonl")
    assert log[-1]["validation_success"] >= 0.8 and log[-1]["loss"] < 0.3 * log[0]["loss"]
    played = play_module(load_policy(pretrained_folder(tmp_path / "run")), "point_mlp", "point", "square", 10)
    assert [episode.seed for episode in played] == list(range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + 10))
    assert sum(episode.success for episode in played) / 10 == log[-1]["validation_success"]
    assert sum(episode.score for episode in played) / 10 == log[-1]["validation_score"]


def test_chunks_are_done_before_the_network_is_asked_again() -> None:
    asked: list[int] = []

    def compute(inputs):  # type: ignore[no-untyped-def]
        rows = len(inputs["state"])
        asked.append(rows)
        chunk = np.stack(
            [np.full((4, 2), [0.1 * step, 0.0]) + [[0.0, 0.01 * i] for i in range(4)] for step in range(rows)]
        )
        return {"chunk": chunk}

    runner = runners.NetworkRunner(compute, lambda: PointPreprocessor(POLICY.configured({})))
    seen = {slot: PointMass("square").reset(seed=slot)[0] for slot in range(3)}
    for slot in seen:
        runner.reset(slot, "go", slot)
    first, second = runner.act(seen), runner.act(seen)
    assert [first[s].tolist() for s in range(3)] == [[0.0, 0.0], [0.1, 0.0], [0.2, 0.0]]
    assert [second[s].tolist() for s in range(3)] == [[0.0, 0.01], [0.1, 0.01], [0.2, 0.01]]
    assert asked == [3]
    runner.reset(1, "go", 9)  # its chunk is forgotten, the others' are used up anyway
    runner.act(seen)
    assert asked == [3, 3]


def test_the_loss_is_the_mean_over_what_counts() -> None:
    import torch

    from vla_models.policy import Batch
    from vla_training.objectives.mean_squared_error import MeanSquaredError

    target = torch.tensor([[[1.0, 3.0], [100.0, 100.0]], [[2.0, 2.0], [0.0, 4.0]]])
    batch = Batch({"x": torch.zeros(2, 2, 2)}, target, torch.tensor([[False, True], [False, False]]))
    loss, metrics = MeanSquaredError().loss(torch.nn.Identity(), batch, Draws(torch.Generator()))
    assert loss.item() == pytest.approx((1 + 9 + 4 + 4 + 0 + 16) / 6)
    assert metrics["rmse"].item() == pytest.approx(((1 + 9 + 4 + 4 + 0 + 16) / 6) ** 0.5)


def test_a_world_with_a_clock_moves_on_while_the_policy_computes() -> None:
    places = []
    for elapsed in (0.0, 0.5):
        world = PointMass("square")
        world.reset(seed=3)
        world.step(np.array([0.5, 0.0]))
        seen, *_ = world.step(np.array([0.0, 0.0]), elapsed=elapsed)
        places.append(seen[STATE][:2])
    assert np.allclose(places[1] - places[0], [0.25, 0.0])


def test_the_window_of_a_chunk_ends_with_the_episode(tmp_path: Path) -> None:
    from vla_datasets.lerobot.windows import load_windows

    collect(CollectOptions("point", "square", 5), tmp_path)
    frames = load_windows(tmp_path, "train", {ACTION: (0, 1, 2, 3)})
    batch = frames.batch(np.arange(len(frames)))
    ends = batch["action_is_pad"][:, 1]  # the next step is behind the end
    assert ends.sum() == 4 and ends[-1]
    assert batch["action_is_pad"][ends].tolist() == [[False, True, True, True]] * 4
    assert all(np.array_equal(row, np.repeat(row[:1], 4, axis=0)) for row in batch["action"][ends])
