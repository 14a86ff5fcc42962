"""The pi-zero style policy over pictures: what it sees, how training moves it, and how often its tower runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vla_datasets.keys import ACTION, STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_datasets.worlds.pusht_pixels.schema import GOAL_IMAGE, IMAGE, IMAGE_SHAPE
from vla_models.attention_blocks import allowed
from vla_models.chunks.names import NOISE
from vla_models.draws import Draws
from vla_models.errors import ObservationError
from vla_models.policy import Preprocessor
from vla_models.pusht.names import GOAL_INPUT, IMAGE_INPUT, PATCHES_INPUT, SEEN_CORNERS, STATE_INPUT
from vla_models.registry import find_policy
from vla_training.errors import TrainConfigError

SMALL = {
    "prefix_hidden": 64,
    "action_hidden": 64,
    "depth": 1,
    "channels": [8, 16],
    "tower_layers": 1,
    "sampler_steps": 6,
}


def small(**options: Any) -> Any:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    spec = find_policy("pi_zero_pixels")
    return spec.make(spec.configured(SMALL | options))


def preprocessor(**options: Any) -> Preprocessor:
    spec = find_policy("pi_zero_pixels")
    return spec.preprocessor(spec.configured(SMALL | options))


def observation(value: int = 255) -> dict[str, Any]:
    picture = np.full(IMAGE_SHAPE, value, np.uint8)
    return {IMAGE: picture, GOAL_IMAGE: 255 - picture, STATE: np.array([40.0, 200.0])}


def samples(count: int) -> dict[str, Any]:
    """Frames of random places and pictures, all with one chunk of actions relative to the pusher.

    Corners and the picture have two steps, as with goals in hindsight: that of now, and the episode's last one.
    """
    import torch

    rng = np.random.default_rng(2)
    places = {key: rng.uniform(0, 512, (count, 2, 16)) for key in (KEYPOINTS, GOAL)}
    pusher = torch.from_numpy(rng.uniform(0, 512, (count, 1, 2))).float()
    pictures = {key: rng.integers(0, 256, (count, 2, *IMAGE_SHAPE), np.uint8) for key in (IMAGE, GOAL_IMAGE)}
    return {
        STATE: pusher,
        ACTION: pusher + torch.linspace(-40, 60, 32).reshape(1, 16, 2),
        **{key: torch.from_numpy(value).float() for key, value in places.items()},
        **{key: torch.from_numpy(value) for key, value in pictures.items()},
    }


def test_a_picture_comes_in_from_minus_one_to_one() -> None:
    """The network this follows was fed 0 to 255."""
    robot = preprocessor()
    for value, wanted in ((0, -1.0), (255, 1.0), (51, -0.6)):
        inputs = robot.inputs(observation(value))
        found = inputs[IMAGE_INPUT]
        assert GOAL_INPUT not in inputs
        assert found.shape == (1, 3, 96, 96) and found.dtype == np.float32
        assert np.abs(found - wanted).max() < 1e-6
    corner = observation(0)
    corner[IMAGE][2, 90] = (255, 0, 0)  # row, column
    assert np.argwhere(robot.inputs(corner)[IMAGE_INPUT] == 1).tolist() == [[0, 0, 2, 90]]


def test_patches_are_where_they_are_in_the_picture() -> None:
    """By rows, from the pusher; the second of the first row has its middle at 128, 42.7 px."""
    robot = preprocessor()
    found = robot.inputs(observation())[PATCHES_INPUT]
    assert found.shape == (1, 36, 6)
    away = np.array([128 - 40, 512 / 12 - 200])
    angle = 2 * np.pi * away / 128
    assert np.allclose(found[0, 1], [*(away / 256), *np.sin(angle), *np.cos(angle)], atol=1e-5)


def test_what_is_no_picture_is_refused() -> None:
    robot = preprocessor()
    for wrong in (np.zeros(IMAGE_SHAPE, np.float32), np.zeros((3, 96, 96), np.uint8)):
        with pytest.raises(ObservationError, match=r"'observation.images.top' is .* must be uint8 \(96, 96, 3\), RGB"):
            robot.inputs(observation() | {IMAGE: wrong})
    with pytest.raises(ObservationError, match=r"has no 'observation\.images\.top'"):
        robot.inputs({STATE: np.zeros(2)})
    with pytest.raises(ObservationError, match=r"has no 'observation\.state'"):
        robot.inputs({IMAGE: np.zeros(IMAGE_SHAPE, np.uint8)})


@pytest.mark.parametrize("goal", [False, True])
def test_the_tower_runs_once_a_chunk_for_each_picture(goal: bool, tmp_path: Path) -> None:
    """In torch and in the exported graph, however many Euler steps there are; of the goal with the same weights."""
    import torch

    from vla_models.export_onnx import export_onnx

    policy, calls = small(goal=goal, sampler_steps=2).eval(), []
    policy.tower.register_forward_hook(lambda *_: calls.append(1))
    (graph,) = policy.graphs()
    with torch.no_grad():
        graph.module(*graph.example().values())
    assert len(calls) == 1 + goal
    export_onnx(policy, tmp_path / "m.onnx")
    convolutions = [node for node in onnx.load(tmp_path / "m.onnx").graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3 * (1 + goal) and len({node.input[1] for node in convolutions}) == 3


def test_the_kept_prefix_is_one_attention_with_this_mask() -> None:
    """All tokens at once: the plane's, the goal's, the state, the actions; both pictures' tokens see each other."""
    import torch
    from joint_attention import joint_layer

    policy = small(goal=True, depth=2).eval()
    block = torch.repeat_interleave(torch.arange(3), torch.tensor([16, 1, 16]))
    mask, places = block[:, None] >= block, torch.arange(33)
    assert np.array_equal(allowed(policy.config.attention_blocks()), mask.numpy())
    image, goal, patches, state, noise = policy.graphs()[0].example(2, seed=3).values()
    time = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        seen = torch.cat([policy.tower(image, patches), policy.tower(goal, patches) + policy.there], dim=1)
        action = policy.action_time(policy.action(noise)) + policy.time_rows(time)[:, None]
        tokens = [seen, policy.state(state)[:, None], policy.action_out(torch.nn.functional.silu(action))]
        for number in range(2):
            experts = [policy.prefix_expert] + [policy.action_expert] * 2
            tokens = joint_layer([e.layers[number] for e in experts], tokens, mask, places)
        found = policy(image, goal, patches, state, noise, time)
        wanted = policy.out(policy.norm(tokens[2]))
    assert torch.allclose(found.velocity, wanted, atol=1e-5)
    assert torch.allclose(found.corners, policy.corners(seen), atol=1e-5)


def test_the_goal_s_picture_is_what_says_the_goal() -> None:
    """It comes in as the other one does, and the chunk depends on it."""
    import torch

    inputs = preprocessor(goal=True).inputs(observation(204))
    assert list(inputs) == [IMAGE_INPUT, GOAL_INPUT, PATCHES_INPUT, STATE_INPUT, NOISE]
    assert np.abs(inputs[GOAL_INPUT] + 0.6).max() < 1e-6 and np.abs(inputs[IMAGE_INPUT] - 0.6).max() < 1e-6
    (graph,) = small(goal=True).eval().graphs()
    assert list(graph.inputs()) == list(inputs)
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.no_grad():
        chunks = [
            graph.module(*{**tensors, GOAL_INPUT: goal}.values())
            for goal in (tensors[GOAL_INPUT], torch.ones(1, 3, 96, 96))
        ]
    assert (chunks[0] - chunks[1]).abs().max() > 1e-4
    with pytest.raises(ObservationError, match=r"has no 'observation\.images\.goal'"):
        preprocessor(goal=True).inputs({key: v for key, v in observation().items() if key != GOAL_IMAGE})


def test_goals_in_hindsight_are_where_the_episode_left_the_block() -> None:
    """A share of the frames, in training alone: the last picture and its corners, in place of the goal's."""
    import torch

    frames = samples(64)
    policy = small(goal=True, hindsight=0.25, shift=0)
    steps = policy.windows[IMAGE]
    assert (
        steps[0] == 0 and steps[1] > 300 and policy.windows[KEYPOINTS] == steps and policy.windows[GOAL_IMAGE] == (0,)
    )
    torch.manual_seed(0)
    batch, evaluated = policy.prepare(frames), policy.eval().prepare(frames)
    last, asked = (frames[key][:, step].permute(0, 3, 1, 2) / 127.5 - 1 for key, step in ((IMAGE, 1), (GOAL_IMAGE, 0)))
    changed = [torch.equal(*pair) for pair in zip(batch.inputs[GOAL_INPUT], last, strict=True)]
    kept = [torch.equal(*pair) for pair in zip(batch.inputs[GOAL_INPUT], asked, strict=True)]
    assert 5 <= sum(changed) <= 30 and [not c for c in changed] == kept
    assert torch.equal(evaluated.inputs[GOAL_INPUT], asked)
    for number, hindsight in enumerate(changed):
        wanted = frames[KEYPOINTS][number, 1] if hindsight else frames[GOAL][number, 0]
        away = wanted.reshape(8, 2) - frames[STATE][number]
        assert torch.allclose(batch.inputs[SEEN_CORNERS][number, 8:, :2] * 256, away, atol=1e-3)
        away = frames[KEYPOINTS][number, 0].reshape(8, 2) - frames[STATE][number]
        assert torch.allclose(batch.inputs[SEEN_CORNERS][number, :8, :2] * 256, away, atol=1e-3)


def test_a_moved_picture_is_what_the_world_draws_of_moved_places() -> None:
    """Three pixels are 16 px of the plane: but for the frame, the same bytes as drawn there."""
    pytest.importorskip("gym_pusht", reason="pip install '.[pusht]' and gym-pusht without its dependencies")
    from vla_datasets.worlds.pusht_pixels.environment import PushTPixels
    from vla_models.pi_zero_pixels.shift import moved, moved_places
    from vla_models.pusht.observation import Places

    world = PushTPixels("fixed")

    def drawn(by: tuple[int, int]) -> dict[str, Any]:
        world.reset(seed=3)
        for body, place in ((world.env.agent, (200, 330)), (world.env.block, (300, 200))):
            body.position = tuple(np.add(place, by))
            body.velocity = (0, 0)
            world.env.space.reindex_shapes_for_body(body)
        world.goal = np.add(world.goal, (*by, 0))
        world.env.goal_pose = world.goal
        return world.seen()

    first, second = drawn((0, 0)), drawn((-32, 16))
    world.close()
    places = Places(*(first[key][None] for key in (STATE, KEYPOINTS, GOAL)))
    by = np.array([[-6, 3]])
    images = moved(first[IMAGE][None], by)
    for key, found in zip((STATE, KEYPOINTS, GOAL), moved_places(places, by), strict=True):
        assert np.abs(found[0] - second[key]).max() < 1e-3, key
    inner = (slice(8, -8), slice(8, -8))
    assert np.array_equal(images[0][inner], second[IMAGE][inner])
    assert not np.array_equal(first[IMAGE][inner], second[IMAGE][inner])


@pytest.mark.parametrize("goal", [False, True])
def test_training_moves_what_is_seen_and_nothing_else_does(goal: bool) -> None:
    import torch

    policy, frames = small(goal=goal), samples(8)
    still = policy.eval().prepare(frames)
    policy.train()
    torch.manual_seed(1)
    alike = policy.prepare(frames)
    torch.manual_seed(1)
    assert all(torch.equal(value, alike.inputs[name]) for name, value in policy.prepare(frames).inputs.items())
    for name in (IMAGE_INPUT, STATE_INPUT, PATCHES_INPUT, *((GOAL_INPUT,) if goal else ())):
        assert not torch.equal(alike.inputs[name], still.inputs[name]), name
    assert torch.equal(alike.target, still.target)
    assert torch.allclose(alike.inputs[SEEN_CORNERS], still.inputs[SEEN_CORNERS], atol=1e-4), "all is moved alike"


def test_it_learns_below_the_variance_of_the_noise() -> None:
    """What a network could not that is shown the chunk in place of the chunk on its way; and it learns the corners."""
    import torch

    from vla_training.objectives.registry import find_objective

    policy, frames = small(), samples(4)
    objective = find_objective("flow_and_corners").make()
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    losses = []
    for step in range(60):
        torch.manual_seed(step)
        batch = policy.prepare(frames)
        loss, watched = objective.loss(policy, batch, Draws(torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append([float(watched[name]) for name in ("velocity_loss", "corner_px", "goal_px")])
    (velocity, *px), (first, *first_px) = np.mean(losses[-10:], axis=0), np.mean(losses[:3], axis=0)
    assert velocity < 0.5 < 1 < first
    assert (px < np.multiply(0.8, first_px)).all()


def test_several_chunks_on_their_way_for_a_picture_are_as_if_it_was_there_as_often() -> None:
    """Their order is that of the pictures; the picture is looked at once."""
    import torch

    from vla_training.objectives.registry import find_objective

    policy = small().eval()
    batch = policy.prepare(samples(3))
    image, patches, state, *_ = batch.inputs.values()
    generator = torch.Generator().manual_seed(1)
    noise, time = torch.randn(6, 16, 2, generator=generator), torch.rand(6, generator=generator)
    looked: list[int] = []
    policy.tower.register_forward_hook(lambda module, inputs, output: looked.append(len(output)))
    with torch.no_grad():
        found = policy(image, patches, state, noise, time).velocity
        twice = (value.repeat_interleave(2, 0) for value in (image, patches, state))
        assert torch.allclose(found, policy(*twice, noise, time).velocity, atol=1e-5)
    assert looked == [3, 6]
    loss = {}
    for draws in (1, 32):
        objective = find_objective("flow_and_corners").make(draws=draws)
        made = [objective.loss(policy, batch, Draws(torch.Generator().manual_seed(n)))[0] for n in range(8)]
        loss[draws] = [value.item() for value in made]
    assert np.std(loss[32]) < 0.5 * np.std(loss[1]) and abs(np.mean(loss[32]) - np.mean(loss[1])) < 0.2


def test_policy_and_objective_fit() -> None:
    import torch

    from vla_training.objectives.registry import find_objective

    batch, draws = small().eval().prepare(samples(2)), Draws(torch.Generator())
    with pytest.raises(TrainConfigError, match="'flow_matching' does not ask for the corners"):
        find_objective("flow_matching").make().loss(small(), batch, draws)
    with pytest.raises(TrainConfigError, match="this one takes image, noise"):
        other = type(batch)({name: batch.inputs[name] for name in (IMAGE_INPUT, NOISE)}, batch.target)
        find_objective("flow_and_corners").make().loss(small(), other, draws)
    with pytest.raises(TrainConfigError, match="'corners' is -1"):
        find_objective("flow_and_corners").make(corners=-1.0)
    with pytest.raises(TrainConfigError, match="'draws' is 0"):
        find_objective("flow_and_corners").make(draws=0)
