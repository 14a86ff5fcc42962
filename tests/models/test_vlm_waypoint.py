"""The waypoint policy: what is frozen, what is saved, what a robot and training make of a frame; known mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_datasets.keys import ACTION, STATE
from vla_datasets.waymo.names import INTENT
from vla_models.draws import Draws
from vla_models.errors import ObservationError, PolicyError
from vla_models.registry import find_policy
from waypoint_frames import FRONT, REAR, SIDE, SMALL, frames, made, write_tower


def windows(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """As `load_windows` gives them to training."""
    import torch

    return {key: torch.from_numpy(value)[:, None] for key, value in found.items()}


def options_of(folder: Path, **more: Any) -> Any:
    """What a run makes of its options."""
    stats = {STATE: {"mean": np.zeros((16, 6)).tolist(), "std": np.zeros((16, 6)).tolist()}}
    spec = find_policy("vlm_waypoint")
    return spec.fitted(spec.configured({"hidden": (24, 16), "tower": str(folder), **more}), stats)


def test_the_published_head_has_its_parameters() -> None:
    from vla_models.vlm_waypoint.head import Head

    config = find_policy("vlm_waypoint").configured({"tower_width": 1152, "tower_heads": 16})
    assert sum(weight.numel() for weight in Head(config).parameters()) == 926_248


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_the_tower_never_trains(pooling: str) -> None:
    """Published: back in training mode as soon as the trainer says so."""
    import torch

    from vla_training.objectives.ade import AverageDisplacement

    policy = made(pooling=pooling, pooling_heads=2)
    before = {name: weight.clone() for name, weight in policy.tower.state_dict().items()}
    policy.train()
    assert not any(module.training for module in policy.tower.modules()) and policy.head.training
    learned = [name for name, weight in policy.named_parameters() if weight.requires_grad]
    assert learned and not any(name.startswith("tower.") for name in learned)
    loss, _ = AverageDisplacement().loss(policy, policy.prepare(windows(frames(8))), Draws(torch.Generator()))
    loss.backward()
    assert all(weight.grad is None for weight in policy.tower.parameters())
    assert all(weight.grad is not None and weight.grad.any() for weight in policy.head.parameters())
    torch.optim.SGD(policy.parameters(), lr=0.1).step()
    assert all(torch.equal(before[name], weight) for name, weight in policy.tower.state_dict().items())
    assert not policy.train(False).head.training


def test_tokens_keep_their_places_in_attention_alone() -> None:
    import torch

    torch.manual_seed(0)
    tokens, state, intent = torch.randn(2, 4, 12), torch.randn(2, 96), torch.zeros(2, 3)
    mean, attention = (made(pooling=kind, pooling_heads=2).head for kind in ("mean", "attention"))
    louder = tokens.clone()
    louder[:, 0], louder[:, 1] = tokens[:, 0] + 3, tokens[:, 1] - 3  # of the same mean
    with torch.no_grad():
        torch.testing.assert_close(mean(louder, state, intent), mean(tokens, state, intent))
        assert not torch.allclose(attention(louder, state, intent), attention(tokens, state, intent), atol=1e-3)


def test_a_saved_policy_names_its_tower(tmp_path: Path) -> None:
    import torch

    from vla_models.saved import load_policy, save_policy

    config = options_of(write_tower(tmp_path / "tower"))
    assert config.tower_id and config.tower_width == 12 and config.state_std == (0.01,) * 96
    policy = find_policy("vlm_waypoint").make(config).eval()
    (tmp_path / "saved").mkdir()
    save_policy(tmp_path / "saved", "vlm_waypoint", config, policy.state_dict())
    assert policy.state_dict() and not any(name.startswith("tower.") for name in policy.state_dict())
    loaded = load_policy(tmp_path / "saved")
    inputs = policy.graphs()[0].example(2).values()
    with torch.no_grad():
        assert torch.equal(loaded(*inputs), policy(*inputs))
    write_tower(tmp_path / "tower", seed=1)
    with pytest.raises(PolicyError, match=r"the tower in .* is '.*'; the policy was trained with"):
        load_policy(tmp_path / "saved")
    with pytest.raises(PolicyError, match=r"'tower_id' is '.*', and .* is '"):
        options_of(tmp_path / "tower", tower_id=config.tower_id)


def test_a_saved_policy_cannot_bring_another_tower(tmp_path: Path) -> None:
    config = options_of(write_tower(tmp_path), pooling_heads=2)
    policy = find_policy("vlm_waypoint").make(config)
    name = "tower.post_layernorm.weight"
    with pytest.raises(RuntimeError, match=f"{name} is of its tower's folder"):
        policy.load_state_dict({**policy.state_dict(), name: policy.get_parameter(name) + 1})


def test_without_a_folder_the_tower_is_saved() -> None:
    policy = made()
    names = set(policy.state_dict())
    assert {f"tower.{name}" for name in policy.tower.state_dict()} < names
    with pytest.raises(RuntimeError, match="Missing key"):
        policy.load_state_dict({n: w for n, w in policy.state_dict().items() if not n.startswith("tower.")})


def test_robot_and_training_make_the_same_inputs() -> None:
    spec = find_policy("vlm_waypoint")
    normal = {"state_mean": [0.5] * 96, "state_std": [2.0] * 96}
    policy, found = made(**normal), frames(5)
    batch = policy.prepare(windows(found))
    robot = spec.preprocessor(policy.config)
    for row in range(5):
        seen = robot.inputs({key: value[row] for key, value in found.items() if key != ACTION})
        assert list(seen) == list(batch.inputs)
        for name, value in seen.items():
            np.testing.assert_array_equal(value, batch.inputs[name][row : row + 1].numpy())
        said = robot.actions({"motion": batch.target[row : row + 1].numpy()})
        np.testing.assert_allclose(said[0], found[ACTION][row], atol=1e-5)


def test_the_camera_is_found_by_its_name() -> None:
    """Published: the second picture of the list, whichever camera that is."""
    spec = find_policy("vlm_waypoint")
    found = {key: value[0] for key, value in frames(1).items()}
    others = {key: value for key, value in found.items() if key not in (FRONT, REAR)}
    for order in ((FRONT, REAR), (REAR, FRONT)):
        seen = spec.preprocessor(spec.configured(SMALL)).inputs({**{key: found[key] for key in order}, **others})
        np.testing.assert_allclose(seen["image"][0], found[FRONT].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    rear = spec.preprocessor(spec.configured(SMALL | {"camera": "rear"})).inputs(found)
    np.testing.assert_allclose(rear["image"][0], found[REAR].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)


def test_pictures_have_the_towers_own_normalization(tmp_path: Path) -> None:
    """Published: ImageNet's, before a tower that was trained with 0.5 and 0.5."""
    colours = write_tower(tmp_path) / "preprocessor_config.json"
    seen = {key: value[0] for key, value in frames(1).items()}
    seen[FRONT] = np.full((SIDE, SIDE, 3), (0, 255, 51), np.uint8)
    for text, wanted in (
        ("{}", (-1, 1, -0.6)),
        ('{"image_mean": [0.1, 0, 0], "image_std": [0.2, 1, 1]}', (-0.5, 1, 0.2)),
    ):
        colours.write_text(text)
        inputs = find_policy("vlm_waypoint").preprocessor(options_of(tmp_path)).inputs(seen)
        np.testing.assert_allclose(inputs["image"][0, :, 3, 4], wanted, atol=1e-6)


def test_intents_are_those_of_the_messages() -> None:
    """Published: 1 is left, 2 right, 3 straight; and 0, unknown, stops the program."""
    policy = made()
    found = frames(4)
    found[INTENT][:, 0] = [0, 1, 2, 3]
    straight, left, right = np.eye(3)
    wanted = np.stack([np.zeros(3), straight, left, right])
    np.testing.assert_array_equal(policy.prepare(windows(found)).inputs["intent"], wanted)
    robot = find_policy("vlm_waypoint").preprocessor(policy.config)
    for row in range(4):
        seen = robot.inputs({key: value[row] for key, value in found.items()})
        np.testing.assert_array_equal(seen["intent"], wanted[row : row + 1])
    found[INTENT][0] = 4
    with pytest.raises(ObservationError, match=r"'observation\.intent' is 4: intents are 0 to 3"):
        robot.inputs({key: value[0] for key, value in found.items()})


def test_motion_by_hand() -> None:
    """2 m/s ahead and 0.5 m/s more: 0.625 m after 0.25 s, 12.5 m after 5 s."""
    from vla_models.vlm_waypoint.motion import motion_of, velocity_of, waypoints_of

    past = np.zeros((1, 16, 6), np.float32)
    past[0, -1] = [0, 0, 2, -1, 7, 7]
    motion = np.tile(np.float32([0.5, 0.0]), (1, 20, 1))
    points = waypoints_of(motion, velocity_of(past))
    np.testing.assert_allclose(points[0, [0, 19]], [[0.625, -0.25], [12.5, -5.0]])
    np.testing.assert_allclose(motion_of(points, velocity_of(past)), motion, atol=1e-6)


def test_mistakes() -> None:
    spec = find_policy("vlm_waypoint")
    for options, message in (
        ({"state_mean": [0.0] * 95}, "'state_mean' must be 96 finite numbers; it has 95"),
        ({"state_std": [0.0] * 96}, "'state_std' has 0.0; each must be above 0"),
        ({"hidden": []}, "'hidden' is"),
        ({"dropout": 1.0}, "'dropout' is 1.0"),
        ({"pooling_heads": 5}, "'pooling_heads' is 5"),
        ({"patch": 200}, "'patch' is 200; it must be at most 'image_size', 128"),
        ({"tower_layers": 0}, "'tower_layers' is 0"),
        ({"camera": ""}, "'camera' is empty"),
        ({"pixel_std": [0.5, 0.5, 0.0]}, "'pixel_std' is"),
    ):
        with pytest.raises(PolicyError, match=rf"vlm_waypoint: {message}"):
            spec.configured(options)
    robot, found = spec.preprocessor(spec.configured(SMALL)), {k: v[0] for k, v in frames(1).items()}
    with pytest.raises(ObservationError, match="there was no observation"):
        robot.actions({"motion": np.zeros((1, 20, 2))})
    robot.inputs(found)
    with pytest.raises(ObservationError, match="of finite numbers"):
        robot.actions({"motion": np.full((1, 20, 2), np.nan)})
    with pytest.raises(ObservationError, match=rf"must be uint8 \({SIDE}, {SIDE}, 3\)"):
        robot.inputs({**found, FRONT: found[FRONT][:8]})
    with pytest.raises(PolicyError, match="import the set with --size 16x16"):
        made().prepare(windows({**frames(1), FRONT: np.zeros((1, 8, 16, 3), np.uint8)}))


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_picture_passes_the_tower_once(pooling: str, tmp_path: Path) -> None:
    """In this run or another one; the head says what it says of the picture itself."""
    import torch

    config = options_of(
        write_tower(tmp_path / "tower"), pooling=pooling, pooling_heads=2, feature_cache=str(tmp_path / "c")
    )
    found = windows(frames(6))
    found[FRONT][4] = found[FRONT][1]
    asked: list[int] = []
    for rows, wanted in (([0, 1, 2], 3), ([1, 4, 3], 4), ([0, 1, 2, 3, 4, 5], 5)):
        torch.manual_seed(0)
        policy = find_policy("vlm_waypoint").make(config).eval()
        policy.tower.register_forward_hook(lambda *call: asked.append(len(call[2])))
        batch = policy.prepare({key: value[rows] for key, value in found.items()})
        assert asked == [1] * wanted
        with torch.no_grad():
            kept = policy(*batch.inputs.values())
            assert asked == [1] * wanted
            asked_anew = policy(*(batch.inputs[name] for name in policy.graphs()[0].inputs()))
        torch.testing.assert_close(kept, asked_anew, atol=1e-5, rtol=1e-5)
        del asked[wanted:]
    assert len(list((tmp_path / "c").iterdir())) == 1
    write_tower(tmp_path / "tower", seed=1)
    other = options_of(tmp_path / "tower", pooling=pooling, pooling_heads=2, feature_cache=str(tmp_path / "c"))
    batch_of_other = find_policy("vlm_waypoint").make(other).prepare(found)
    assert not torch.allclose(batch_of_other.inputs["tokens"], batch.inputs["tokens"], atol=0.1)


def test_damaged_features_are_made_again(tmp_path: Path) -> None:
    from vla_models.vlm_waypoint.features import FeatureCache

    pictures = frames(3)[FRONT]
    made_of: list[int] = []

    def compute(number: int) -> np.ndarray:
        made_of.append(number)
        return np.full((2, 3), number, np.float32)

    FeatureCache(tmp_path, "t", (2, 3)).rows(pictures, compute)
    (path,) = tmp_path.iterdir()
    kept = path.read_bytes()
    third = len(kept) // 3
    path.write_bytes(kept[: third - 1] + b"\x01" + kept[third:-5])  # a value of the first, the end of the last
    for number in range(2):
        found = FeatureCache(tmp_path, "t", (2, 3)).rows(pictures, compute)
        np.testing.assert_array_equal(found[:, 0, 0], [0, 1, 2])
        assert made_of == [0, 1, 2, 0, 2], number
    first, second = FeatureCache(tmp_path, "u", (2, 3)), FeatureCache(tmp_path, "u", (2, 3))
    first.rows(pictures[:2], compute)
    second.rows(pictures[1:], compute)  # two runs at a time
    np.testing.assert_array_equal(first.rows(pictures, compute)[:, 0, 0], [0, 1, 1])
    assert made_of[5:] == [0, 1, 1]
    path = tmp_path / "u-2x3.rows"
    path.unlink()
    others = frames(6, seed=1)[FRONT]
    np.testing.assert_array_equal(first.rows(others, compute)[:, 0, 0], range(6))
    found = second.rows(np.concatenate([pictures, others[3:4]]), compute)  # not what is in their places now
    np.testing.assert_array_equal(found[:, 0, 0], [0, 1, 2, 3])
    with pytest.raises(PolicyError, match="'feature_cache' is x and 'tower' empty"):
        find_policy("vlm_waypoint").configured({"feature_cache": "x"})


def test_intents_that_are_none_are_refused() -> None:
    """In a mirror -1 would be the last one, left."""
    import torch

    policy, found = made(mirror=1.0).train(), frames(3)
    for wrong in (-1, 4):
        found[INTENT][1] = wrong
        with pytest.raises(PolicyError, match=f"'observation.intent' of the data: intents are 0 to 3, not .*{wrong}"):
            policy.prepare({key: torch.from_numpy(value)[:, None] for key, value in found.items()})


def test_frames_in_a_mirror() -> None:
    """In training alone; what was driven to the left is driven to the right, and so it was seen and wanted."""
    import torch

    policy, found = made(mirror=1.0), frames(6)
    found[INTENT][:3, 0] = [1, 2, 3]
    found[STATE][..., 5] = 0.25
    plain, turned = policy.prepare(windows(found)), policy.train().prepare(windows(found))
    assert torch.equal(turned.inputs["image"], plain.inputs["image"].flip(3))
    assert torch.equal(turned.target[..., 0], plain.target[..., 0])
    torch.testing.assert_close(turned.target[..., 1], -plain.target[..., 1])
    before, after = (batch.inputs["state"].reshape(6, 16, 6) for batch in (plain, turned))
    torch.testing.assert_close(after, before * torch.tensor([1.0, -1, 1, -1, 1, -1]))
    assert turned.inputs["intent"][:3].argmax(dim=1).tolist() == [0, 2, 1]
    half = made(mirror=0.5).train()
    torch.manual_seed(0)
    pictures = half.prepare(windows(frames(64)))
    changed = (pictures.inputs["image"] != half.eval().prepare(windows(frames(64))).inputs["image"]).flatten(1).any(1)
    assert 16 < int(changed.sum()) < 48
    with pytest.raises(PolicyError, match=r"'mirror' is 1\.5"):
        find_policy("vlm_waypoint").configured({"mirror": 1.5})
    for camera in ("side_left", "front_right"):  # in a mirror they see what the other one does
        with pytest.raises(PolicyError, match=f"'mirror' is 0.5, and 'camera' {camera}"):
            find_policy("vlm_waypoint").configured({"mirror": 0.5, "camera": camera})
    assert find_policy("vlm_waypoint").configured({"mirror": 0.5, "camera": "rear"}).mirror == 0.5
