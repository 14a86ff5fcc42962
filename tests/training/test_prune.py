"""Pruning: the weakest blocks go, one of each convolution stays, and the program has less to do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vla_models.saved import load_policy
from vla_training.cli import main
from vla_training.config.load import load_config
from vla_training.errors import EvaluationError


def test_the_weakest_blocks_are_zero_and_nothing_else_changes() -> None:
    from pruned import Pruned, nn, prune_blocks, torch

    convs = nn.Sequential(nn.Conv2d(32, 32, 1, bias=False), nn.ReLU(), nn.Conv2d(32, 20, 3))
    with torch.no_grad():
        for number, (o, i) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            convs[0].weight[16 * o : 16 * o + 16, 16 * i : 16 * i + 16] = 1.0 + number
        convs[2].weight.fill_(2.5)
        convs[2].weight[16:, :16] = 0.5  # of 4 x 16 channels: its norm is small, and so is its mean square
    before = convs[0].weight.clone(), convs[2].weight.clone(), convs[2].bias.clone()
    found = prune_blocks(convs, 0.5)  # of 0.5, 1, 2, 2.5, 2.5, 2.5, 3, 4 the first four, and what is as strong
    assert found == [Pruned("0", 4, 2), Pruned("2", 4, 1)]
    assert not convs[0].weight[:16].any() and torch.equal(convs[0].weight[16:], before[0][16:])
    assert not convs[2].weight[16:, :16].any() and torch.equal(convs[2].weight[:16], before[1][:16])
    assert torch.equal(convs[2].weight[16:, 16:], before[1][16:, 16:]) and torch.equal(convs[2].bias, before[2])
    assert prune_blocks(convs, 0.99) == [Pruned("0", 4, 3), Pruned("2", 4, 1)]  # the strongest stay, equal ones all


def test_blocks_of_experts_are_zero_in_all_of_them_or_none() -> None:
    from pruned import ExpertConv, Pruned, group_lasso, nn, prune_blocks, torch

    layer = ExpertConv(2, 32, 32)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.weight[0, :16, :16] = 0.25  # the weakest of one expert, and strong in the other
        layer.weight[1, :16, :16] = 4.0
        layer.weight[:, 16:, 16:] = 0.5
    norm = group_lasso([layer], 0.0, 1.0).item()
    squares = 16 * 16 * 9 * torch.tensor([0.25**2 + 4.0**2, 2.0, 2.0, 0.5])  # of both experts
    assert norm == pytest.approx(float(squares.sqrt().sum()))
    before = layer.weight.detach().clone()
    assert prune_blocks(nn.Sequential(layer), 0.25) == [Pruned("0", 4, 1)]
    before[:, 16:, 16:] = 0.0
    assert torch.equal(layer.weight, before)


def test_what_is_zero_is_counted_as_zero() -> None:
    from pruned import Pruned, nn, prune_blocks, torch

    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv2d(64, 64, 1))
    assert prune_blocks(conv, 0.75) == [Pruned("0", 16, 12)]
    assert prune_blocks(conv, 0.25) == [Pruned("0", 16, 12)]  # eight more are zero already
    assert prune_blocks(nn.Sequential(nn.Conv2d(16, 1600, 1)), 0.29) == [Pruned("0", 100, 29)]  # 28.999... in floats


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.5}, {"qat": True}])
def test_what_was_pruned_stays_zero_in_training(data: Path, tmp_path: Path, options: dict[str, float]) -> None:
    from pruned import prune_blocks, save_policy, torch
    from safetensors.torch import load_file

    from vla_models.registry import find_policy
    from vla_training.loop import train

    config = load_config("debug", ["--policy-options.channels", "32", "32", "32"])
    torch.manual_seed(0)
    policy = find_policy(config.policy).make(config.policy_options)
    prune_blocks(policy, 0.5)
    (tmp_path / "half").mkdir()
    save_policy(tmp_path / "half", config.policy, policy.config, policy.state_dict())
    config = dataclasses.replace(config, init_from=str(tmp_path / "half"), **options)
    for stop in (1, None):  # also where a run goes on
        folder = train(config, data, tmp_path / "run", stop_after=stop)
    before = {name: w for name, w in policy.state_dict().items() if w.ndim == 4}
    stored, zeros = load_file(folder / "model.safetensors"), 0
    for name, weight in before.items():
        after = stored[f"graph.weights.{name.replace('.', '/')}" if config.qat else name]
        dead = weight == 0
        zeros += int(dead.sum())
        assert not after[dead].any() and (after != weight)[~dead].float().mean() > 0.3, name
    assert zeros > 16 * 16 * 9


def test_a_pruned_policy_takes_fewer_cycles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pruned import saved

    import vlac
    import vlarun
    from vla_models.export_onnx import export_onnx

    source, cycles = saved(tmp_path / "whole"), []
    assert main(["prune", "--policy", str(source), "--share", "0.5", "-o", str(tmp_path / "half")]) == 0
    assert "13 of 26 blocks are zero" in capsys.readouterr().out
    for folder in (source, tmp_path / "half"):
        policy = load_policy(folder)
        export_onnx(policy, tmp_path / "m.onnx")
        inputs = {name: value.numpy() for name, value in policy.example_inputs(4).items()}
        program = vlac.compile_model(tmp_path / "m.onnx", "tiny", vlac.CompileOptions(calibration=inputs))
        session = vlarun.Session(program)
        session.run({name: value[:1] for name, value in inputs.items()})
        cycles.append(session.stats["cycles"])
    assert cycles[1] < 0.8 * cycles[0]


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pruned import nn, prune_blocks, saved

    source = saved(tmp_path / "whole")
    for arguments, message in (
        (["--policy", str(source), "--share", "1.5", "-o", str(tmp_path / "x")], "--share is 1.5"),
        (["--policy", str(source), "--share", "0.5", "-o", str(source)], "exists; choose another"),
        (["--policy", str(tmp_path), "--share", "0.5", "-o", str(tmp_path / "x")], "holds no saved policy"),
    ):
        assert main(["prune", *arguments]) == 1
        assert message in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["whole"]
    with pytest.raises(EvaluationError, match="no convolution"):
        prune_blocks(nn.Linear(2, 2), 0.5)
