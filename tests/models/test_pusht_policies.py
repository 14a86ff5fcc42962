"""The Push-T policies: inputs that training and robot share, the prefix that is kept, and the program of all steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlarun
from vla_datasets.keys import ACTION, STATE
from vla_datasets.worlds.pusht.schema import GOAL, KEYPOINTS
from vla_datasets.worlds.pusht_pixels.schema import IMAGE, IMAGE_SHAPE
from vla_models.act.names import CHUNK
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.errors import ObservationError, PolicyError
from vla_models.policy import Preprocessor
from vla_models.pusht.names import ACTION_UNIT, SEEN_CORNERS
from vla_models.registry import find_policy
from vlac.api import compile_file
from vlac.options import CompileOptions

SAMPLED = ("mlp_policy", "pi_zero", "pi_zero_pixels")
NAMES = (*SAMPLED, "act")
PI_ZERO = {
    "prefix_width": 48,
    "prefix_hidden": 64,
    "action_width": 32,
    "action_hidden": 80,
    "depth": 2,
    "sampler_steps": 5,
    "heads": 4,
    "key_heads": 2,
}
SMALL: dict[str, dict[str, Any]] = {
    "mlp_policy": {"width": 32, "blocks": 2},
    "pi_zero": PI_ZERO,
    "pi_zero_pixels": {**PI_ZERO, "channels": [8, 16], "tower_layers": 1, "tower_hidden": 64},
    "act": {"width": 48, "hidden": 80, "encoder_layers": 2, "posterior_layers": 1, "latent": 8},
}
STEPS = 20


def episode(steps: int = STEPS) -> dict[str, np.ndarray]:
    """An episode of random places, by key: (steps, ...)."""
    rng = np.random.default_rng(4)
    sizes = {STATE: 2, KEYPOINTS: 16, GOAL: 16, ACTION: 2}
    places = {key: rng.uniform(0, 512, (steps, n)).astype(np.float32) for key, n in sizes.items()}
    return {**places, IMAGE: rng.integers(0, 256, (steps, *IMAGE_SHAPE), np.uint8)}


def samples(frames: dict[str, np.ndarray], windows: dict[str, Any]) -> dict[str, Any]:
    """A batch of all frames of one episode."""
    import torch

    from vla_datasets.lerobot.windows import Windows

    made = Windows(frames, ["push"] * STEPS, [STEPS], windows).batch(np.arange(STEPS))
    return {key: torch.from_numpy(value) for key, value in made.items() if isinstance(value, np.ndarray)}


def small(name: str, **options: Any) -> Any:
    import torch

    torch.manual_seed(0)
    spec = find_policy(name)
    policy = spec.make(spec.configured(SMALL[name] | options)).eval()
    with torch.no_grad():
        for parameter in policy.parameters():  # norms whose weight is what is added to one begin at zero
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return policy


def preprocessor(name: str, **options: Any) -> Preprocessor:
    spec = find_policy(name)
    return spec.preprocessor(spec.configured(SMALL[name] | options))


def observation(frames: dict[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    return {key: frames[key][step] for key in (STATE, KEYPOINTS, GOAL, IMAGE)}


@pytest.mark.parametrize("name", NAMES)
def test_training_and_robot_see_the_same(name: str) -> None:
    """At every frame of an episode."""
    frames, policy, robot = episode(), small(name), preprocessor(name)
    batch = policy.prepare(samples(frames, policy.windows))
    robot.reset("push")
    for step in range(STEPS):
        inputs = robot.inputs(observation(frames, step))
        assert list(inputs) == [name for name in batch.inputs if name not in (CHUNK, SEEN_CORNERS)]
        assert list(inputs) == list(policy.graphs()[0].inputs())
        for key, value in inputs.items():
            if key != NOISE:
                assert np.array_equal(value[0], batch.inputs[key][step].numpy()), (key, step)


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_s_chunk_comes_back_as_its_actions(name: str) -> None:
    """Through the units of the network; behind the episode's end its last action is held."""
    frames, policy, robot = episode(), small(name), preprocessor(name, execute=16)
    batch = policy.prepare(samples(frames, policy.windows))
    for step in (0, 7, STEPS - 3):
        robot.inputs(observation(frames, step))
        found = robot.actions({ACTIONS: batch.target[step][None].numpy()})
        wanted = frames[ACTION][np.minimum(np.arange(step, step + 16), STEPS - 1)]
        assert np.abs(found - wanted).max() < 1e-3


def test_only_so_many_actions_are_done_and_none_leaves_the_plane() -> None:
    robot, frames = preprocessor("pi_zero", execute=3), episode()
    robot.inputs(observation(frames, 0))
    chunk = np.full((1, 16, 2), 100.0, np.float32)
    assert np.array_equal(robot.actions({ACTIONS: chunk}), np.full((3, 2), 512.0))
    assert np.array_equal(robot.actions({ACTIONS: -chunk}), np.zeros((3, 2)))
    for wrong in (chunk[:, :15], chunk * np.nan):
        with pytest.raises(ObservationError, match=r"must be \(1, 16, 2\), of finite numbers"):
            robot.actions({ACTIONS: wrong})


def test_what_is_no_observation_is_refused() -> None:
    frames, robot = episode(), preprocessor("mlp_policy")
    good = observation(frames, 0)
    for change, said in (
        ({STATE: np.zeros(3)}, "'observation.state' is float64 .* 2 finite"),
        ({GOAL: np.full(16, np.nan)}, "'observation.goal' .* 16 finite"),
        ({KEYPOINTS: np.array(["x"] * 16)}, "16 finite numbers"),
    ):
        with pytest.raises(ObservationError, match=said):
            robot.inputs(good | change)
    with pytest.raises(ObservationError, match=r"has no 'observation\.goal'"):
        robot.inputs({k: v for k, v in good.items() if k != GOAL})


def test_the_noise_of_an_episode_comes_from_its_seed() -> None:
    frames, robot = episode(), preprocessor("pi_zero")
    drawn = []
    for seed in (1, 1, 2):
        robot.reset("push", seed)
        drawn.append([robot.inputs(observation(frames, step))[NOISE] for step in range(2)])
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0][0], drawn[2][0]) and not np.array_equal(drawn[0][0], drawn[0][1])
    wanted = {"flow": (1, 16, 2), "direct": None}
    for method, shape in wanted.items():
        made = preprocessor("mlp_policy", method=method).inputs(observation(frames, 0)).get(NOISE)
        assert (made is None) if shape is None else (made is not None and made.shape == shape)


@pytest.mark.parametrize("name", SAMPLED)
def test_the_sampler_is_euler_s(name: str) -> None:
    """Step by step with `forward`, as training calls it; what is kept of the prefix changes nothing."""
    import torch

    policy = small(name, sampler_steps=7)
    (graph,) = policy.graphs()
    inputs = list(graph.example(3, seed=2).values())
    x = inputs[-1]
    with torch.no_grad():
        for step in range(7):
            said = policy(*inputs[:-1], x, torch.full((3,), step / 7))
            x = x + getattr(said, "velocity", said) / 7
        assert torch.allclose(graph.module(*inputs), x, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_all_steps_are_one_program_with_a_loop(name: str, tmp_path: Path) -> None:
    """From the exported file by calibration alone: near the float network, the same bytes on rtl. ACT has one step."""
    import torch

    from vla_models.export_onnx import export_onnx

    policy = small(name)
    export_onnx(policy, tmp_path / "model.onnx")
    (graph,) = policy.graphs()
    calibration = {key: value.numpy() for key, value in graph.example(64, seed=1).items()}
    state = compile_file(tmp_path / "model.onnx", "tiny", CompileOptions(calibration=calibration))
    assert state.graph.repeat == getattr(policy.config, "sampler_steps", 1)
    assert [s.op for s in state.program.sources].count("COPY") < 100, "keys of the prefix are joined as rows"
    sim, rtl = (vlarun.Session(state.program, backend=backend) for backend in ("sim", "rtl"))
    for seed in (5, 6):
        example = graph.example(1, seed=seed)
        inputs = {key: value.numpy() for key, value in example.items()}
        with torch.no_grad():
            wanted = graph.module(*example.values()).numpy()
        found = sim.run(inputs)[ACTIONS]
        assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) > 30
        assert np.array_equal(found, rtl.run(inputs)[ACTIONS])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("mlp_policy", {"method": "ddim"}, "'method' is 'ddim'; it must be one of flow, diffusion, direct"),
        ("mlp_policy", {"horizon": 0}, "'horizon' is 0"),
        ("mlp_policy", {"execute": 17}, "'execute' is 17; it must be from 1 to 'horizon', 16"),
        ("mlp_policy", {"sampler_steps": 0}, "'sampler_steps' is 0"),
        ("mlp_policy", {"sampler_steps": 1000, "method": "diffusion"}, "'sampler_steps' is 1000; .* from 1 to 999"),
        ("mlp_policy", {"periods": [32.0, -1.0]}, "'periods'"),
        ("mlp_policy", {"width": 5}, "'width' is 5"),
        ("mlp_policy", {"blocks": 0}, "'blocks' is 0"),
        ("pi_zero", {"head_width": 7}, "'head_width' is 7"),
        ("pi_zero", {"heads": 4, "key_heads": 3}, "'heads' is 4, not a multiple of 'key_heads', 3"),
        ("pi_zero", {"depth": 0}, "'depth' is 0"),
        ("pi_zero", {"prefix_width": 1}, "'prefix_width' is 1"),
        ("pi_zero_pixels", {"depth": 0}, "pi_zero_pixels: 'depth' is 0"),
        ("pi_zero_pixels", {"channels": [8]}, r"'channels' is \[8\]; it must be two from 1 to 4096"),
        ("pi_zero_pixels", {"tower_layers": 0}, "'tower_layers' is 0"),
        ("pi_zero_pixels", {"tower_hidden": 0}, "'tower_hidden' is 0"),
        ("pi_zero_pixels", {"tower_heads": 5}, "'prefix_width' is 64, not a multiple of 'tower_heads', 5"),
        ("pi_zero_pixels", {"shift": 49}, "'shift' is 49"),
        ("pi_zero_pixels", {"goal": True, "hindsight": 1.5}, "'hindsight' is 1.5"),
        ("pi_zero_pixels", {"hindsight": 0.5}, "'hindsight' is 0.5; without 'goal' no goal is seen"),
        ("act", {"latent": 0}, "'latent' is 0"),
        ("act", {"decoder_layers": 0}, "'decoder_layers' is 0"),
        ("act", {"heads": 5}, "'width' is 64, not a multiple of 'heads', 5"),
        ("act", {"dropout": 1.0}, "'dropout' is 1.0"),
        *((name, {"ensemble": m}, f"{name}: 'ensemble' is {m}") for name in NAMES for m in (-0.01, np.inf, np.nan)),
    ],
)
def test_sizes_that_there_cannot_be(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        find_policy(name).configured(options)


def test_a_diffusion_is_a_program_of_its_steps(tmp_path: Path) -> None:
    """Each step has scalars of its own, so they stand one behind another; their weights are stored once."""
    import torch

    from vla_models.export_onnx import export_onnx

    policy = small("mlp_policy", method="diffusion", sampler_steps=5)
    export_onnx(policy, tmp_path / "model.onnx")
    (graph,) = policy.graphs()
    calibration = {key: value.numpy() for key, value in graph.example(64, seed=1).items()}
    state = compile_file(tmp_path / "model.onnx", "tiny", CompileOptions(calibration=calibration))
    example = graph.example(1, seed=5)
    with torch.no_grad():
        wanted = graph.module(*example.values()).numpy()
    inputs = {key: value.numpy() for key, value in example.items()}
    found, other = (vlarun.Session(state.program, backend=b).run(inputs)[ACTIONS] for b in ("sim", "rtl"))
    assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) > 25
    assert np.array_equal(found, other)


def test_a_direct_policy_has_no_sampler() -> None:
    import torch

    policy = small("mlp_policy", method="direct")
    frames = episode()
    batch = policy.prepare(samples(frames, policy.windows))
    assert list(batch.inputs) == ["observation"] and not hasattr(policy, "time")
    with torch.no_grad():
        assert policy(*batch.inputs.values()).shape == batch.target.shape == (STEPS, 16, 2)
    assert batch.target.abs().max() * ACTION_UNIT <= 512
