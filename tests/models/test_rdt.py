"""RDT: the network against one written out again, its conditions, its vectors, and the robot's side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rdt_samples import CAMERA, PLACES, SIDE, SMALL, TASK, episode, made, statistics, write_sentences
from vla_datasets.keys import ACTION, STATE, image
from vla_datasets.unified.robots import find_robot
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.errors import LanguageError, ObservationError, PolicyError
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.fitted import fitted
from vla_models.rdt.preprocess import RdtPreprocessor
from vla_models.registry import find_policy

STEPS = 9


@pytest.fixture
def sentences(tmp_path: Path) -> str:
    return str(write_sentences(tmp_path / "text"))


def samples(windows: Mapping[str, Any], steps: int = STEPS) -> dict[str, Any]:
    import torch

    from vla_datasets.lerobot.windows import Windows

    found = Windows(episode(steps), [TASK] * steps, [steps], windows).batch(np.arange(steps))
    return {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in found.items()}


def written_out(policy: Any, inputs: Mapping[str, Any], x: Any, time: Any) -> Any:
    """RDT as its authors have it: values and masks joined, every condition computed anew, positions of all tokens."""
    import torch
    from torch.nn import functional as f

    c, w = policy.config, policy.state_dict()

    def linear(name: str, y: Any) -> Any:
        return y @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name: str, y: Any) -> Any:
        return y / (y.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * w[f"{name}.weight"]

    def perceptron(name: str, y: Any, layers: int) -> Any:
        for layer in range(layers):
            y = linear(f"{name}.{2 * layer}", f.gelu(y, approximate="tanh") if layer else y)
        return y

    def attention(name: str, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        q, k, v = (t.reshape(*t.shape[:2], c.heads, -1) for t in (q, k, v))
        q, k = norm(f"{name}.q_norm", q), norm(f"{name}.k_norm", k)
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(c.width / c.heads)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None] == 0, -math.inf)
        return linear(f"{name}.o", torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).flatten(2))

    def embedder(name: str, waves: Any) -> Any:
        return linear(f"{name}.down", f.silu(linear(f"{name}.up", waves)))

    angles = time[:, None] * 1000 * torch.exp(-math.log(10000) * torch.arange(128) / 128)
    values = torch.cat([inputs["state"][:, None], x], dim=1)
    joined = torch.cat([values, inputs["mask"][:, None].expand_as(values)], dim=2)
    front = [embedder("time", torch.cat([angles.cos(), angles.sin()], 1)), embedder("frequency", inputs["frequency"])]
    y = torch.cat([torch.stack(front, 1), perceptron("vector", joined, 3)], dim=1) + w["places"]
    maps = [policy.tower(p) for name, p in inputs.items() if name.startswith("image_")]
    words = perceptron("words", inputs["language"], 2) + w["word_places"]
    pictures = perceptron("pictures", torch.cat(maps, 1), 2) + w["picture_places"]
    for n in range(c.depth):
        b = f"blocks.{n}"
        y = y + attention(f"{b}.own", *linear(f"{b}.own.qkv", norm(f"{b}.norms.0", y)).chunk(3, 2))
        seen, mask = (pictures, None) if n % 2 else (words, inputs["language_mask"])
        q = linear(f"{b}.condition.q", norm(f"{b}.norms.1", y))
        y = y + attention(f"{b}.condition", q, *linear(f"{b}.condition.kv", seen).chunk(2, 2), mask)
        y = y + perceptron(f"{b}.perceptron", norm(f"{b}.norms.2", y), 2)
    return perceptron("out", norm("norm", y), 2)[:, -c.horizon :] * inputs["mask"][:, None]


def test_the_network_is_the_published_one() -> None:
    import torch

    policy = made(depth=3, history=2, execute=1, cameras=("top", "left_wrist"))
    inputs = policy._example(3, seed=1)
    x, time = inputs.pop(NOISE), torch.tensor([0.0, 0.4, 0.999])
    with torch.no_grad():
        found, wanted = policy(*inputs.values(), x, time), written_out(policy, inputs, x, time)
    assert wanted.std() > 0.05 and torch.allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize(("options", "millions"), [((2048, 28, 32, 4096), 1228), ((1024, 14, 32, 4096), 166.2)])
def test_the_published_sizes(options: tuple[int, ...], millions: float) -> None:
    import torch

    width, depth, heads, language = options
    sizes = {"width": width, "depth": depth, "heads": heads, "language_width": language, "language_tokens": 1024}
    cameras = ("top", "right_wrist", "left_wrist")
    config = RdtConfig(**sizes, channels=(), cameras=cameras, history=2, execute=1)
    with torch.device("meta"):
        policy = find_policy("rdt").make(config)
    assert policy.picture_places.shape == (4374, width) and policy.places.shape == (67, width)
    assert sum(p.numel() for p in policy.parameters()) / 1e6 == pytest.approx(millions, rel=2e-3)


def test_it_begins_by_saying_nothing() -> None:
    import torch

    spec = find_policy("rdt")
    policy = spec.make(spec.configured(SMALL))
    inputs = policy._example(2)
    assert not policy(*inputs.values(), torch.rand(2)).any()


def test_positions_begin_as_group_and_place() -> None:
    """Groups are told apart by the first half, places in a group by the second; features know theirs already."""
    spec = find_policy("rdt")
    policy = spec.make(spec.configured(SMALL))
    places = policy.places.detach().numpy()
    assert (places[3:, :16] == places[3, :16]).all() and np.abs(places[0, :16] - places[3, :16]).max() > 0.5
    assert np.allclose(places[4, 16:24], np.sin(10_000.0 ** -(np.arange(8) / 8)), atol=1e-6)
    assert len(np.unique(places.round(5), axis=0)) == len(places)
    assert len(np.unique(policy.picture_places.detach().numpy().round(5), axis=0)) == 16
    features = spec.make(spec.configured(SMALL | {"channels": (), "feature_tokens": 5, "history": 2, "execute": 1}))
    assert len(np.unique(features.picture_places.detach().numpy().round(5), axis=0)) == 2


def test_even_blocks_attend_words_and_odd_ones_pictures() -> None:
    import torch

    first, both = made(depth=1), made(depth=2)
    inputs = first._example(2)
    words = inputs["language"] + torch.randn_like(inputs["language"]) * inputs["language_mask"][:, :, None]
    behind = inputs["language"] + torch.randn_like(inputs["language"]) * (1 - inputs["language_mask"][:, :, None])
    changes = {"language": words, "image_top": inputs["image_top"].flip(3)}
    with torch.no_grad():
        for policy, seen in ((first, ("language",)), (both, ("language", "image_top"))):
            plain = policy(*inputs.values(), torch.rand(2) * 0 + 0.5)
            for name, value in changes.items():
                moved = policy(*(inputs | {name: value}).values(), torch.rand(2) * 0 + 0.5)
                assert ((moved - plain).abs().max() > 1e-3) == (name in seen), name
            hidden = policy(*(inputs | {"language": behind}).values(), torch.rand(2) * 0 + 0.5)
            assert torch.equal(hidden, plain), "words that the mask leaves out"


def test_conditions_are_made_once_for_all_steps(tmp_path: Path) -> None:
    """The sampler says what it says when each step computes them anew, and the exported graph has them once."""
    import torch

    from vla_models.export_onnx import export_onnx
    from vla_models.sampling.dpm_solver import solver_steps

    policies = {steps: made(sampler_steps=steps) for steps in (2, 3)}
    inputs = policies[3]._example(1, seed=3)
    x, before = inputs.pop(NOISE), None
    with torch.no_grad():
        found = policies[3].graphs()[0].module(*inputs.values(), x)
        for step in solver_steps(3):
            action = policies[3](*inputs.values(), x, torch.tensor([step.time]))
            x = step.x * x + step.now * action + (0 if before is None else step.before * before)
            before = action
    assert x.std() > 0.05 and torch.allclose(found, x, atol=1e-5)
    counts = []
    for steps, policy in policies.items():
        export_onnx(policy, tmp_path / f"{steps}.onnx")
        counts.append(_depend(onnx.load(tmp_path / f"{steps}.onnx").graph))
    (fixed, moving), (fixed_of_more, moving_of_more) = counts
    assert fixed == fixed_of_more > 30 and moving_of_more > 1.4 * moving


def _depend(graph: onnx.GraphProto) -> tuple[int, int]:
    """How many nodes depend on the conditions alone, and how many on the noise."""
    kinds = {value.name: value.name == NOISE for value in graph.input}
    found = [0, 0]
    for node in graph.node:
        on = [kinds[name] for name in node.input if name in kinds]
        if on:
            found[any(on)] += 1
            kinds |= dict.fromkeys(node.output, any(on))
    return found[0], found[1]


def test_places_that_the_robot_has_not_do_nothing() -> None:
    import torch

    policy = made()
    inputs = policy._example(2)
    assert sorted(PLACES) == inputs["mask"][0].nonzero().flatten().tolist()
    chunk = policy(*inputs.values(), torch.rand(2))
    outside = [place for place in range(128) if place not in PLACES]
    assert chunk[..., list(PLACES)].abs().min() > 0 and not chunk[..., outside].any()
    chunk.square().sum().backward()
    assert not policy.out[-1].weight.grad[outside].any()


@pytest.mark.parametrize("normalize", [False, True])
def test_training_and_robot_make_the_same_inputs(sentences: str, normalize: bool) -> None:
    frames = episode(STEPS)
    options = {"history": 2, "ensemble": 0.1, "normalize": normalize, "embeddings": sentences}
    config = fitted(RdtConfig(**SMALL | options), statistics(frames))
    policy = find_policy("rdt").make(config)
    batch = policy.prepare(samples(policy.windows))
    preprocessor = RdtPreprocessor(config)
    preprocessor.reset(TASK, seed=3)
    for step in range(STEPS):
        inputs = preprocessor.inputs({key: frames[key][step] for key in (STATE, CAMERA)})
        assert tuple(inputs) == preprocessor.input_names == tuple(batch.inputs)
        for name, value in inputs.items():
            assert value.dtype == np.float32
            if name != NOISE:
                assert np.array_equal(value[0], batch.inputs[name][step].numpy()), name
        chunk = batch.target[step : step + 1].numpy()
        assert np.allclose(first_of(config).actions({ACTIONS: chunk}), _done(frames[ACTION], step), atol=1e-6)
    drawn = [RdtPreprocessor(config) for _ in range(3)]
    for each, seed in zip(drawn, (3, 3, 4), strict=True):
        each.reset(TASK, seed)
    one, same, other = (p.inputs({key: frames[key][0] for key in (STATE, CAMERA)})[NOISE] for p in drawn)
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    for noise in (one, batch.inputs[NOISE].numpy()):  # calibration data is the batch's
        assert sorted(np.unique(np.nonzero(noise)[2])) == sorted(PLACES), "no noise where the robot has no value"


def first_of(config: RdtConfig) -> RdtPreprocessor:
    """Asked for the first time, without others' chunks."""
    return RdtPreprocessor(dataclasses.replace(config, ensemble=0.0, history=1))


def _done(actions: np.ndarray, step: int) -> np.ndarray:
    """What the expert does from a step on; behind the end its last action."""
    return actions[np.minimum(np.arange(step, step + SMALL["execute"]), len(actions) - 1)]


def test_values_are_at_their_places_in_si_units(sentences: str) -> None:
    config = RdtConfig(**SMALL, embeddings=sentences)
    preprocessor = RdtPreprocessor(config)
    preprocessor.reset(TASK)
    state = np.arange(1, 15, dtype=np.float32)
    inputs = preprocessor.inputs({STATE: state, CAMERA: np.zeros((SIDE, SIDE, 3), np.uint8)})
    assert [inputs["state"][0, place] for place in PLACES] == state.tolist() and inputs["state"].sum() == state.sum()
    assert inputs["mask"][0].nonzero()[0].tolist() == sorted(PLACES)
    assert np.allclose(inputs["frequency"][0, [0, 128]], [math.cos(25), math.sin(25)], atol=1e-6)
    chunk = np.random.default_rng(0).standard_normal((1, 6, 128)).astype(np.float32)
    assert np.array_equal(preprocessor.actions({ACTIONS: chunk}), chunk[0, :3][:, list(PLACES)])


def test_pictures_are_rgb_and_before_the_first_there_is_the_mean_colour(sentences: str) -> None:
    """Published: blue first, where the image tower expects red; and nothing in front of the first picture."""
    preprocessor = RdtPreprocessor(RdtConfig(**SMALL | {"execute": 1}, history=3, embeddings=sentences))
    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[..., 0] = 255
    for _ in range(2):  # the second episode has forgotten the first
        preprocessor.reset(TASK)
        found = preprocessor.inputs({STATE: np.zeros(14), CAMERA: red})
        assert (found["image_top"][0] == np.array([1, -1, -1])[:, None, None]).all()
        assert not found["image_top_1"].any() and not found["image_top_2"].any()
        found = preprocessor.inputs({STATE: np.zeros(14), CAMERA: 255 - red})
        assert (found["image_top"][0, 0] == -1).all() and (found["image_top_1"][0, 0] == 1).all()
        assert not found["image_top_2"].any()


def test_an_ensemble_says_one_action_a_step(sentences: str) -> None:
    preprocessor = RdtPreprocessor(RdtConfig(**SMALL, ensemble=0.5, embeddings=sentences))
    preprocessor.reset(TASK)
    chunks = np.random.default_rng(0).standard_normal((2, 1, 6, 128)).astype(np.float32)
    first, second = (preprocessor.actions({ACTIONS: chunk}) for chunk in chunks)
    weights = np.exp([0, -0.5])
    wanted = np.average([chunks[0, 0, 1], chunks[1, 0, 0]], axis=0, weights=weights)[list(PLACES)]
    assert first.shape == (1, 14) and np.allclose(first[0], chunks[0, 0, 0, list(PLACES)])
    assert np.allclose(second[0], wanted, atol=1e-6)
    preprocessor.correct(np.zeros(14))
    assert np.allclose(preprocessor.actions({ACTIONS: chunks[1]})[0], chunks[1, 0, 0, list(PLACES)])


def test_what_comes_from_the_data(sentences: str) -> None:
    frames = episode(STEPS)
    found = fitted(RdtConfig(**SMALL, embeddings=sentences), statistics(frames))
    assert found.encoder == "random@0" and np.allclose(found.action_mean, frames[ACTION].mean(0))
    assert np.allclose(found.state_std, np.maximum(frames[STATE].std(0), 0.01))


def test_data_of_another_robot_or_frequency_is_refused() -> None:
    """Grippers would be scaled twice, arms taken for each other, or another frequency told than there is."""
    names = list(find_robot("aloha").names)

    def info(names: Any, fps: int = 25) -> dict[str, Any]:
        return {"fps": fps, "features": {key: {"names": names} for key in (STATE, ACTION)}}

    check = find_policy("rdt").check_set
    for named in (names, None, [f"motor_{n}" for n in range(14)], {"motors": names}):
        check(RdtConfig(**SMALL), info(named))
    check(RdtConfig(**SMALL, robot="agilex", frequency=50), info(None, 50))
    assert RdtPreprocessor(RdtConfig(**SMALL, frequency=50)).frequency == 50  # a world of another one is refused
    for options, found, said in (
        ({"robot": "agilex"}, info(names), "'robot' is 'agilex': .* names its values itself, .* counts them otherwise"),
        ({}, info(names[7:] + names[:7]), "names 'right_arm_joint_0_pos' at place 0; robot 'aloha' has 'left_arm_join"),
        ({}, info(names[:13]), "names 13 values; robot 'aloha' has 14"),
        ({}, info(names, 50), "'frequency' is 25, and the set has 50 frames a second"),
    ):
        with pytest.raises(PolicyError, match=f"rdt: .*{said}"):
            check(RdtConfig(**SMALL, **options), found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 36}, "'width' is 36; it must be a multiple of 4 x 'heads', 16"),
        ({"sampler_steps": 1000}, "'sampler_steps' is 1000; it must be from 1 to 999"),
        ({"depth": 0}, "'depth' is 0; it must be from 1"),
        ({"execute": 7}, "'execute' is 7; it must be from 1 to 'horizon', 6"),
        ({"frequency": math.nan}, "'frequency' is nan"),
        ({"ensemble": -1.0}, "'ensemble' is -1.0"),
        ({"robot": "alohaa"}, "'robot' is 'alohaa': .*Did you mean 'aloha'"),
        ({"state_mean": (0.0,) * 13}, "'state_mean' is .*; it must be 14 finite numbers"),
        ({"action_std": (0.0,) * 14}, "'action_std' is .*; each must be above 0"),
        ({"cameras": ("top", "top")}, "'cameras' is .*different names"),
        ({"history": 2}, "'history' is 2 and 'execute' 3; .* need 'execute' 1 or an 'ensemble'"),
        ({"channels": (0, 3)}, "'channels' is .*from 1 to 4096"),
        ({"image_width": 18}, "'image_width' is 18; it must be a multiple of 4"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=f"rdt: {said}"):
        RdtConfig(**SMALL | options)


def test_what_is_seen_is_checked(sentences: str) -> None:
    preprocessor = RdtPreprocessor(RdtConfig(**SMALL, embeddings=sentences))
    good = {STATE: np.zeros(14, np.float32), CAMERA: np.zeros((SIDE, SIDE, 3), np.uint8)}
    with pytest.raises(ObservationError, match="there is no instruction"):
        preprocessor.inputs(good)
    preprocessor.reset(TASK)
    for change, said in (
        ({STATE: np.zeros(13)}, "must be 14 finite numbers"),
        ({CAMERA: np.zeros((SIDE, SIDE, 3))}, "must be uint8"),
        ({CAMERA: np.zeros((SIDE, 8, 3), np.uint8)}, r"must be uint8 \(16, 16, 3\)"),
    ):
        with pytest.raises(ObservationError, match=said):
            preprocessor.inputs(good | change)
    with pytest.raises(ObservationError, match=r"has no 'observation[.]images[.]top'"):
        preprocessor.inputs({STATE: good[STATE]})
    for chunk in (np.zeros((1, 6, 14)), np.full((1, 6, 128), np.nan)):
        with pytest.raises(ObservationError, match="The chunk is"):
            preprocessor.actions({ACTIONS: chunk})


def test_of_a_refused_observation_no_picture_is_kept(sentences: str) -> None:
    """The first camera's was there, and the second one's was not: the first would be a step ahead from then on."""
    options = SMALL | {"cameras": ("top", "left"), "history": 2, "execute": 1, "embeddings": sentences}
    refused, plain = (RdtPreprocessor(RdtConfig(**options)) for _ in range(2))
    pictures = [np.full((SIDE, SIDE, 3), 50 * step, np.uint8) for step in range(4)]
    for preprocessor in (refused, plain):
        preprocessor.reset(TASK)
    for picture in pictures:
        seen = {STATE: np.zeros(14, np.float32), CAMERA: picture, image("left"): picture}
        with pytest.raises(ObservationError, match="must be uint8"):
            refused.inputs(seen | {image("left"): np.zeros((1, 1, 3), np.uint8)})
        found, wanted = refused.inputs(seen), plain.inputs(seen)
        assert all(np.array_equal(found[name], value) for name, value in wanted.items())


def test_instructions_without_embeddings_are_refused(sentences: str, tmp_path: Path) -> None:
    """Published: training and robot read different files, and a sentence that is missing was passed over."""
    other = str(write_sentences(tmp_path / "other", encoder="another@1"))
    for options, task, said in (
        ({"embeddings": sentences}, "dance", "has no embedding of 'dance' by random@0; it has .*'pass the cube'"),
        ({}, TASK, "'embeddings' names no folder"),
        ({"embeddings": str(tmp_path / "none")}, TASK, "holds no embedded sentences"),
        ({"embeddings": other, "encoder": "random@0"}, TASK, "sentences of another@1; the policy was made for"),
        ({"embeddings": sentences, "language_width": 12}, TASK, "are 24 wide; 'language_width' is 12"),
        ({"embeddings": sentences, "language_tokens": 4}, TASK, "has 5 tokens; the policy takes at most 4"),
    ):
        with pytest.raises(LanguageError, match=said):
            RdtPreprocessor(RdtConfig(**SMALL | options)).reset(task)
    policy = made(embeddings=sentences)
    with pytest.raises(LanguageError, match="has no embedding of 'dance'"):
        policy.prepare(samples(policy.windows) | {"task": ["dance"] * STEPS})
