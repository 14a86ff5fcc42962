"""The policies that see cells, `babyai_film` and `babyai_moe`: sizes, tiles, what a mission chooses, how it learns.

The faults of the policy that these are made after have a test each: routers and masks without a gradient, masks that
differ between training and use, all experts computed, a head of five actions, samples mixed over episodes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_models.babyai_film.config import BabyAIFilmConfig
from vla_models.babyai_moe.config import BabyAIMoeConfig
from vla_models.draws import Draws
from vla_models.errors import PolicyError


@pytest.mark.parametrize("name", ["film", "moe"])
def test_sizes_are_what_the_cards_say(name: str) -> None:
    import cells
    from cells import missions

    policy = getattr(cells, name)()
    count = sum(parameter.numel() for parameter in policy.parameters())
    card = Path(sys.modules[type(policy).__module__].__file__ or "").with_name("README.md").read_text()
    assert f"{count:,} parameters" in card
    assert policy(*missions(3)).shape == (3, 7)  # an output for each action of the world


@pytest.mark.parametrize("name", ["film", "moe"])
def test_tiles_give_the_values_and_gradients_of_pixels(name: str) -> None:
    import cells
    from cells import CAMERA, babyai_batch, torch

    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (9, 8, 8, 3), np.uint8)
    numbers = rng.integers(0, 9, (5, 4, 7, 7))
    frames = table[numbers].transpose(0, 1, 2, 4, 3, 5, 6).reshape(5, 4, 56, 56, 3)
    common = {"action": torch.tensor([[0, 2]] * 5), "action_is_pad": torch.zeros(5, 2, dtype=torch.bool)}
    common["task"] = ["go to the red ball"] * 5  # type: ignore[assignment]
    plain = babyai_batch({CAMERA: torch.from_numpy(frames), **common})
    tiled = babyai_batch(
        {CAMERA: torch.from_numpy(numbers), f"{CAMERA}_tiles": torch.from_numpy(table), **common},
    )
    found = []
    for batch in (plain, tiled):
        policy = getattr(cells, name)()
        logits = policy(*batch.inputs.values())
        logits.square().sum().backward()
        found.append([logits, *(p.grad for p in policy.parameters() if p.grad is not None)])
    assert len(found[0]) == len(found[1]) > 15
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_cell_is_what_a_convolution_over_one_frame_makes_of_it() -> None:
    from cells import CellFeatures, babyai_inputs, torch

    layer = CellFeatures(6)
    image = babyai_inputs(2)["image"]
    frames = [layer.conv(image[:, 3 * n : 3 * n + 3]) for n in range(4)]
    assert torch.allclose(layer(image), torch.cat(frames, dim=1), atol=1e-6)


def test_router_and_mask_learn_from_the_actions_alone() -> None:
    from cells import missions, moe, torch

    policy = moe().train()
    loss = torch.nn.functional.cross_entropy(policy(*missions()), torch.arange(24) % 7)
    loss.backward()
    for layer in (policy.router.logits, policy.mask.scores):
        assert layer.weight.grad.abs().max() > 1e-6 and layer.bias.grad.abs().max() > 1e-6
    assert policy.router.logits.weight.grad.unflatten(0, (2, 4)).abs().amax((1, 2)).min() > 1e-6  # of both layers


def test_a_share_has_the_gradient_of_its_logarithm() -> None:
    from cells import ExpertConv, torch

    layer = ExpertConv(3, 1, 1).train()
    logits = torch.tensor([[0.5, 2.0, -1.0]] * 2, requires_grad=True)
    y = layer(torch.ones(2, 1, 1, 1), logits)
    y[0].sum().backward()
    shares = logits.detach()[0].softmax(0)
    expected = y[0].detach().sum() * (torch.tensor([0.0, 1.0, 0.0]) - shares)
    assert torch.allclose(logits.grad[0], expected, atol=1e-6) and not logits.grad[1].any()


def test_training_computes_what_the_device_computes() -> None:
    """Hard choices in both, and neither depends on how many samples there are."""
    from cells import missions, moe, torch

    policy, inputs = moe(), missions()
    trained, used = policy.train()(*inputs), policy.eval()(*inputs)
    assert torch.allclose(trained, used, atol=1e-6)
    alone = torch.cat([policy(*(value[n : n + 1] for value in inputs)) for n in range(24)])
    assert torch.allclose(alone, used, atol=1e-5)


def test_only_the_chosen_expert_is_computed() -> None:
    from cells import ExpertConv, torch

    layer, x = ExpertConv(4, 2, 3).eval(), torch.rand(6, 2, 5, 5)
    chosen = torch.tensor([2, 0, 2, 2, 0, 2])
    logits = torch.nn.functional.one_hot(chosen, 4).float()
    with torch.no_grad():
        layer.weight[[1, 3]] = float("nan")  # times zero it would still be no number
        y = layer(x, logits)
    for n, expert in enumerate(chosen):
        expected = torch.nn.functional.conv2d(x[n : n + 1], layer.weight[expert], layer.bias[expert], padding=1)
        assert torch.allclose(y[n : n + 1], expected, atol=1e-6)


@pytest.mark.parametrize("kept", [1, 32, 255])
def test_the_mask_keeps_the_largest(kept: int) -> None:
    from cells import UnitMask, torch

    mask = UnitMask(16, 256, kept).eval()
    with torch.no_grad():
        condition = 20.0 * torch.randn(5, 16)  # scores far apart
        found, scores = mask(condition), mask.scores(condition)
    order = scores.argsort(1, descending=True)
    expected = torch.zeros(5, 256).scatter(1, order[:, :kept], 1.0)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_mask_is_exactly_0_or_1_in_training(dtype: str) -> None:
    from cells import UnitMask, torch

    torch.manual_seed(0)
    mask = UnitMask(16, 256, 32).to(getattr(torch, dtype)).train()
    found = mask(torch.randn(64, 16, dtype=getattr(torch, dtype))).float()
    assert set(found.unique().tolist()) == {0.0, 1.0} and found.requires_grad


def test_units_that_are_not_kept_do_not_reach_the_head() -> None:
    from cells import missions, moe, torch

    policy, inputs = moe().eval(), missions(1)
    with torch.no_grad():
        before = policy(*inputs)
        kept = policy.mask(torch.relu(policy.mission(inputs[1])))[0] > 0
        assert int(kept.sum()) == 32
        policy.fusion.weight[~kept] += 1.0
        assert torch.equal(policy(*inputs), before)
        policy.fusion.weight[kept] += 1.0
        assert not torch.equal(policy(*inputs), before)


def test_noise_decides_in_training_as_its_draws_say() -> None:
    from cells import missions, moe, torch

    policy, inputs = moe(), missions()

    def logits(noise: float, seed: int) -> Any:
        return policy(*inputs, noise=noise, draws=Draws(torch.Generator().manual_seed(seed)))[0]

    assert torch.equal(logits(5.0, 1), logits(5.0, 1)) and not torch.equal(logits(5.0, 1), logits(5.0, 2))
    assert torch.equal(logits(0.0, 1), policy(*inputs))


def test_ablations_have_no_mask_one_expert_or_no_film() -> None:
    from cells import missions, moe

    unmasked, dense, joined = moe(kept=256), moe(experts=1), moe(film=False)
    assert unmasked.mask is None and unmasked(*missions(2)).shape == (2, 7)
    assert dense.conv1.weight.shape == (1, 32, 64, 3, 3) and dense(*missions(2)).shape == (2, 7)
    assert not any("film" in name for name, _ in joined.named_parameters())
    assert joined.fusion.in_features == moe().fusion.in_features + 64 and joined(*missions(2)).shape == (2, 7)


def test_without_film_the_mission_still_reaches_the_action() -> None:
    """With one expert and all units there is no other way for it."""
    from cells import missions, moe, torch

    policy = moe(film=False, experts=1, kept=256).eval()
    image, mission, previous = missions(2)
    same = image[:1].expand(2, -1, -1, -1), mission, previous[:1].expand(2, -1)
    found = policy(*same)
    assert not torch.equal(mission[0], mission[1]) and not torch.allclose(found[0], found[1])


@pytest.mark.parametrize(
    ("options", "learns"),
    [
        ({"experts": 1}, {"mask.scores"}),
        ({"kept": 256}, {"router.logits"}),
        ({"film": False}, {"mask.scores", "router.logits"}),
    ],
)
def test_ablations_train_and_are_exported(options: dict[str, int], learns: set[str], tmp_path: Path) -> None:
    from cells import missions, moe, torch

    from vla_models.export_onnx import TOLERANCE, export_onnx

    policy = moe(**options).train()
    torch.nn.functional.cross_entropy(policy(*missions()), torch.arange(24) % 7).backward()
    chosen = {name.removesuffix(".weight"): value.grad for name, value in policy.named_parameters() if "weight" in name}
    with_gradient = {name for name, grad in chosen.items() if grad is not None and grad.abs().max() > 1e-6}
    assert with_gradient & {"mask.scores", "router.logits"} == learns
    assert export_onnx(policy, tmp_path / "model.onnx") <= TOLERANCE


def test_two_episodes_of_one_mission_stay_apart() -> None:
    """Frames and the action before are of the episode, whatever its instruction is."""
    from cells import CAMERA, BabyAIMoe, Windows, moe, torch

    images = np.repeat(np.arange(6, dtype=np.uint8), 56 * 56 * 3).reshape(6, 56, 56, 3)
    actions = np.array([[0], [1], [2], [3], [4], [5]])
    frames = Windows({CAMERA: images, "action": actions}, ["go to a key"] * 6, [3, 3], BabyAIMoe.windows)
    samples = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for key, value in frames.batch(np.array([3, 4])).items()
    }
    batch = moe().prepare(samples)
    assert (batch.inputs["image"][:, ::3, 0, 0] * 255).round().tolist() == [[3, 3, 3, 3], [3, 3, 3, 4]]
    assert not batch.inputs["previous_action"][0].any() and batch.inputs["previous_action"][1].argmax() == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 0}, "from 1 to 4096"),
        ({"experts": 0}, "'experts' is 0"),
        ({"kept": 257}, "'kept' is 257; it must be from 1 to 'hidden', 256"),
    ],
)
def test_bad_sizes_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        BabyAIMoeConfig(**options)
    with pytest.raises(PolicyError, match="from 1 to 4096"):
        BabyAIFilmConfig(hidden=0)
