"""Adapters in the tower and proposals of the head."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_datasets.keys import STATE
from vla_models.draws import Draws
from vla_models.errors import PolicyError
from vla_models.registry import find_policy
from waypoint_frames import frames, made, write_tower

LORA = {"lora_rank": 2, "lora_layers": 1, "lora_targets": ("q_proj", "fc2"), "lora_dropout": 0.5, "lora_alpha": 6.0}


def adapted(folder: Path, **more: Any) -> Any:
    """A policy with adapters that are not zero any more, in evaluation mode."""
    pytest.importorskip("peft")
    import torch

    spec = find_policy("vlm_waypoint")
    stats = {STATE: {"mean": np.zeros((16, 6)).tolist(), "std": np.ones((16, 6)).tolist()}}
    config = spec.configured({"tower": str(write_tower(folder)), "hidden": (24,), **LORA, **more})
    policy: Any = spec.make(spec.fitted(config, stats)).eval()
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if ".lora_" in name:
                weight.normal_()
    return policy


def test_adapters_are_where_they_should_be(tmp_path: Path) -> None:
    """Of two layers in the last, in the chosen ones; they and the head learn alone."""
    policy = adapted(tmp_path)
    learned = {name for name, weight in policy.named_parameters() if weight.requires_grad and "head" not in name}
    last = "tower.encoder.layers.1"
    wanted = {f"{last}.{layer}.lora_{m}.default.weight" for layer in ("self_attn.q_proj", "mlp.fc2") for m in "AB"}
    assert learned == wanted


def test_merged_equals_unmerged(tmp_path: Path) -> None:
    """And what LoRA says: W + alpha / rank * B A."""
    import torch

    policy = adapted(tmp_path)
    (graph,) = policy.graphs()
    inputs = tuple(graph.example(3).values())
    assert not any(".lora_" in name for name, _ in graph.module.named_parameters())
    with torch.no_grad():
        both = policy(*inputs)
        torch.testing.assert_close(graph.module(*inputs), both, atol=1e-5, rtol=1e-4)
        one = graph.module.tower.encoder.layers[1].self_attn.q_proj.weight
        layer = policy.tower.encoder.layers[1].self_attn.q_proj
        product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        torch.testing.assert_close(one, layer.base_layer.weight + 3.0 * product)
        for weight in (layer.lora_B["default"].weight, policy.tower.encoder.layers[1].mlp.fc2.lora_B["default"].weight):
            weight.zero_()
        assert not torch.allclose(policy(*inputs), both, atol=1e-3)


def test_export_has_the_nodes_of_a_tower_without(tmp_path: Path) -> None:
    import onnx

    from vla_models.export_onnx import TOLERANCE, export_onnx

    policy = adapted(tmp_path / "t")
    assert export_onnx(policy, tmp_path / "with.onnx") <= TOLERANCE
    plain = made(hidden=(24,))
    export_onnx(plain, tmp_path / "without.onnx")
    first, second = (
        [node.op_type for node in onnx.load(tmp_path / f"{name}.onnx").graph.node] for name in ("with", "without")
    )
    assert first == second


def test_one_step_moves_adapters_and_not_what_they_adapt(tmp_path: Path) -> None:
    import torch

    from vla_training.objectives.ade import AverageDisplacement

    policy = adapted(tmp_path).train()
    dropouts = [m for m in policy.tower.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts and all(m.training for m in dropouts) and not policy.tower.encoder.layers[1].training
    batch = policy.prepare({k: torch.from_numpy(v)[:, None] for k, v in frames(8).items()})
    before = {name: weight.detach().clone() for name, weight in policy.tower.named_parameters()}
    loss, _ = AverageDisplacement().loss(policy, batch, Draws(torch.Generator()))
    loss.backward()
    torch.optim.SGD(policy.parameters(), lr=0.1).step()
    for name, weight in policy.tower.named_parameters():
        assert torch.equal(before[name], weight.detach()) == (".lora_" not in name), name
    assert not any(m.training for m in policy.eval().tower.modules())


def test_a_saved_policy_has_its_adapters(tmp_path: Path) -> None:
    import torch

    from vla_models.saved import load_policy, save_policy

    policy = adapted(tmp_path / "t")
    save_policy(tmp_path, "vlm_waypoint", policy.config, policy.state_dict())
    names = [name for name in policy.state_dict() if name.startswith("tower.")]
    assert len(names) == 4 and all(".lora_" in name for name in names)
    inputs = tuple(policy.graphs()[0].example(2).values())
    with torch.no_grad():
        assert torch.equal(load_policy(tmp_path)(*inputs), policy(*inputs))
    with pytest.raises(RuntimeError, match=r"Missing key.*lora_A"):
        policy.load_state_dict({n: w for n, w in policy.state_dict().items() if "lora_" not in n})


def test_mistakes_with_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = find_policy("vlm_waypoint").configured
    for options, message in (
        ({"lora_rank": -1}, "'lora_rank' is -1"),
        ({"lora_alpha": 0.0}, "'lora_alpha' is 0"),
        ({"lora_targets": ["q_proj", "qkv"]}, r"'lora_targets' is \['q_proj', 'qkv'\]; it must be some of q_proj"),
        ({"lora_layers": 7}, "'lora_layers' is 7; it must be from 1 to 'tower_layers', 6"),
        ({"lora_dropout": 1.0}, "'lora_dropout' is 1"),
        ({"lora_rank": 4}, "adapters need a 'tower' with a folder"),
        ({"lora_rank": 4, "tower": "t", "feature_cache": "c"}, "no 'feature_cache'"),
        ({"proposals": 0}, "'proposals' is 0"),
    ):
        with pytest.raises(PolicyError, match=rf"vlm_waypoint: .*{message}"):
            configured(options)
    with pytest.raises(PolicyError, match="'lora_layers' is 3; it must be from 1 to 'tower_layers', 2"):
        adapted(tmp_path, lora_layers=3)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(PolicyError, match=r"needs the package 'peft'.*pip install 'vla-toolchain\[train,lora\]'"):
        find_policy("vlm_waypoint").make(configured({"tower": str(write_tower(tmp_path)), "lora_rank": 1, **SIZES}))


SIZES = {"tower_width": 12, "tower_layers": 2, "tower_heads": 2, "tower_hidden": 20, "image_size": 16, "patch": 8}


def test_the_best_proposal_is_driven() -> None:
    from vla_models.vlm_waypoint.motion import velocity_of, waypoints_of

    policy = made(proposals=3)
    robot = find_policy("vlm_waypoint").preprocessor(policy.config)
    found = frames(1)
    robot.inputs({key: value[0] for key, value in found.items()})
    motions = np.random.default_rng(0).standard_normal((1, 3, 20, 2)).astype(np.float32)
    said = robot.actions({"motion": motions, "scores": np.float32([[0.1, -3, 0.7]])})
    np.testing.assert_array_equal(said, waypoints_of(motions[:, 2], velocity_of(found[STATE])))


def test_the_nearest_proposal_learns() -> None:
    """By hand: of two proposals the second is 1 m/s off, which is 2.625 m in the mean over the waypoints."""
    import torch

    from vla_models.policy import Batch
    from vla_training.objectives.ade import AverageDisplacement

    motion = torch.zeros(1, 2, 20, 2)
    motion[0, 0, :, 0], motion[0, 1, :, 1] = 3.0, 1.0
    motion.requires_grad_()
    scores = torch.tensor([[2.0, 0.0]], requires_grad=True)
    batch = Batch({}, torch.zeros(1, 20, 2))
    loss, watched = AverageDisplacement(scorer=0.5).loss(lambda: (motion, scores), batch, Draws(torch.Generator()))  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(2.625 + 0.5 * np.log(1 + np.exp(2.0)), rel=1e-5)
    assert float(watched["ade_nearest"]) == pytest.approx(2.625)
    assert float(watched["ade_5s"]) == pytest.approx(3 * 2.625)  # the scorer chooses the first
    assert float(watched["ade_3s"]) == pytest.approx(3 * 1.625)
    loss.backward()
    assert motion.grad is not None and scores.grad is not None
    assert not motion.grad[0, 0].any() and motion.grad[0, 1].any() and scores.grad[0, 1] < 0 < scores.grad[0, 0]
