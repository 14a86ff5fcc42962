"""Driving: only the commanded branch learns, mirrors are true mirrors, the past is noisy, groups go to zero."""

from __future__ import annotations

import math

import pytest

from vla_models.driving.names import BRANCHES, COMMAND, IMAGE, MEASURES
from vla_models.driving_tiles.config import DrivingTilesConfig
from vla_models.policy import Batch
from vla_training.errors import TrainConfigError
from vla_training.objectives.driving import DrivingImitation

SMALL = {"channels": (32, 48), "strides": (2, 2), "image_size": 16, "measure_features": 8, "fused": 16, "branch": (16,)}
PLAIN = DrivingImitation(concepts=0, mirror=0, forget=0, relight=False)


def test_the_loss_is_what_the_earlier_system_says() -> None:
    """By hand: 25 (1 + 10 s^2) |error| of steering, 10 |error| of a pedal in use, 2 at rest; means are added."""
    from driving_samples import Says, batch_of, draws, torch

    target = torch.tensor([[0.5, 0.5, 0.0, *[0.0] * 5], [0.0, 0.04, 1.0, *[0.0] * 5]])
    batch = Batch(batch_of([0, 5]).inputs, target)
    loss, watched = PLAIN.loss(Says([[0.4, 0.5, 0.1], [0.2, 0.0, 0.5]]), batch, draws())
    steer = (25 * (1 + 10 * 0.25) * 0.1 + 25 * 0.2) / 2
    pedals = (0 + 2 * 0.04) / 2 + (2 * 0.1 + 10 * 0.5) / 2
    assert loss.item() == pytest.approx(steer + pedals, rel=1e-5)
    assert float(watched["steer_error"]) == pytest.approx(0.15) and "mac_share" not in watched
    with_concepts, _ = DrivingImitation(concepts=1, mirror=0, forget=0, relight=False).loss(
        Says([[0.4, 0.5, 0.1], [0.2, 0.0, 0.5]]), batch, draws()
    )
    assert (with_concepts - loss).item() == pytest.approx(math.log(2), rel=1e-4)  # logits of 0


@pytest.mark.parametrize("branch", range(len(BRANCHES)))
def test_only_the_commanded_branch_learns(branch: int) -> None:
    from driving_samples import DrivingTiles, batch_of, draws, torch

    torch.manual_seed(0)
    policy = DrivingTiles(DrivingTilesConfig(**SMALL))
    loss, _ = PLAIN.loss(policy, batch_of([branch] * 3), draws())
    loss.backward()
    norms = [sum(float(p.grad.norm()) for p in b.parameters()) for b in policy.branches]
    assert [norm > 0 for norm in norms] == [n == branch for n in range(len(BRANCHES))]


def test_a_mirrored_sample_is_what_a_mirrored_world_shows() -> None:
    from driving_samples import batch_of, mirror, torch

    batch = batch_of([0, 1, 3, 4, 3])
    chosen = torch.tensor([True, True, True, True, False])
    found = mirror(batch, chosen)
    assert torch.equal(found.inputs[IMAGE][:4], batch.inputs[IMAGE][:4].flip(-1))
    assert found.inputs[COMMAND].argmax(1).tolist() == [0, 2, 4, 3, 3]
    assert torch.equal(found.inputs[MEASURES][:4, 0], -batch.inputs[MEASURES][:4, 0])
    assert torch.equal(found.inputs[MEASURES][:, 1:], batch.inputs[MEASURES][:, 1:])
    assert torch.equal(found.target[:4, 0], -batch.target[:4, 0])
    assert torch.equal(found.target[:, 1:], batch.target[:, 1:])
    for name, values in found.inputs.items():
        assert torch.equal(values[4], batch.inputs[name][4])
    again = mirror(found, chosen)
    assert all(torch.equal(again.inputs[n], batch.inputs[n]) for n in batch.inputs)


def test_turns_are_not_mirrored_and_validation_sees_samples_as_they_are() -> None:
    from driving_samples import DrivingOutput, Says, batch_of, draws, torch

    seen: list[tuple[torch.Tensor, ...]] = []

    class Sees(Says):
        def forward(self, *inputs: torch.Tensor) -> DrivingOutput:
            seen.append(inputs)
            return super().forward(*inputs)

    batch = batch_of([0, 1, 2, 3, 4, 5])
    policy = Sees([[0.0, 0.0]] * 6)
    always = DrivingImitation(mirror=1, forget=0, relight=False)
    always.loss(policy, batch, draws())
    always.loss(policy.eval(), batch, draws())
    flipped = [not torch.equal(a, b) for a, b in zip(seen[0][0], batch.inputs[IMAGE], strict=True)]
    assert flipped == [True, False, False, True, True, False]
    assert all(torch.equal(a, b) for a, b in zip(seen[1], batch.inputs.values(), strict=True))


def test_the_action_before_is_forgotten_sample_by_sample_and_the_speed_stays() -> None:
    from driving_samples import draws, past_noise, torch

    measures = torch.tensor([[0.5, -0.5, 0.42]]).repeat(4000, 1)
    found = past_noise({MEASURES: measures}, 0.5, draws())[MEASURES]
    gone = (found[:, :2] == 0).all(dim=1)
    assert 0.46 < float(gone.double().mean()) < 0.54
    kept = found[~gone] - measures[~gone]
    assert kept.std(dim=0).tolist() == pytest.approx([0.01, 0.01, 0.02], rel=0.1)
    assert (found[:, 2] - 0.42).abs().max() < 0.1
    none = past_noise({MEASURES: measures}, 0.0, draws())[MEASURES]
    assert not (none[:, :2] == 0).any()


def test_light_changes_all_frames_of_a_stack_alike() -> None:
    from driving_samples import draws, relight, torch

    image = torch.full((500, 6, 4, 4), 0.5)
    found = relight({IMAGE: image}, draws())[IMAGE]
    assert torch.equal(found, found[:, :1, :1, :1].expand_as(found))  # flat images stay flat: contrast has no hold
    factors = found[:, 0, 0, 0] / 0.5
    assert 0.7 <= float(factors.min()) < 0.75 and 1.25 < float(factors.max()) <= 1.3
    assert 0.15 < float((factors == 1).double().mean()) < 0.25


def test_group_norms_are_those_of_their_channels() -> None:
    from driving_samples import block_norms, group_lasso, tile_norms, torch

    weight = torch.zeros(40, 20, 3, 3)
    weight[17, 3, 1, 1], weight[18, 18, 0, 0], weight[39, 19] = 3.0, 4.0, 1.0
    assert tile_norms(weight).tolist() == pytest.approx([0, 5, 3], abs=1e-6)
    assert block_norms(weight).flatten().tolist() == pytest.approx([0, 0, 3, 4, 0, 3], abs=1e-6)
    conv = torch.nn.Conv2d(20, 40, 3)
    conv.weight.data.copy_(weight)
    assert group_lasso([conv, torch.nn.ReLU()], 2.0, 0.0).item() == pytest.approx(16)
    assert group_lasso([conv], 0.0, 1.0).item() == pytest.approx(10)


def test_the_lasso_empties_what_the_data_does_not_need() -> None:
    from driving_samples import DrivingTiles, batch_of, draws, tile_norms, torch

    torch.manual_seed(0)
    policy = DrivingTiles(DrivingTilesConfig(**SMALL))
    before = tile_norms(policy.trunk.convs[1].weight).detach().clone()
    loss, _ = DrivingImitation(steer=0, pedal=0, pedal_rest=0, concepts=0, lasso_tiles=1.0).loss(
        policy, batch_of([0, 1]), draws()
    )
    loss.backward()
    with torch.no_grad():
        for conv in policy.trunk.convs:
            conv.weight -= 0.1 * conv.weight.grad
    after = tile_norms(policy.trunk.convs[1].weight)
    assert torch.allclose(after, before - 0.1, atol=1e-4)  # each tile by the same length, as the penalty says


@pytest.mark.parametrize("share", ["mac_share", "tile_share"])
def test_the_budget_shrinks_to_what_was_asked_and_closes_gates(share: str) -> None:
    from driving_samples import DrivingTiles, batch_of, draws, torch

    budgets = {"mac_budget": 1.0, "tile_budget": 1.0, share.replace("share", "budget"): 0.5}
    objective = DrivingImitation(steer=0, pedal=0, pedal_rest=0, concepts=0, budget=1.0, mirror=0, **budgets)
    torch.manual_seed(0)
    policy = DrivingTiles(DrivingTilesConfig(**SMALL, gated=True))
    batch = batch_of(list(range(6)))

    def loss_at(progress: float) -> float:
        part = Batch(batch.inputs, batch.target, None, progress)
        return float(objective.loss(policy, part, draws())[0])

    assert [loss_at(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0.25, 0.5, 0.5], abs=1e-6)
    optimizer = torch.optim.Adam(policy.gates.parameters(), lr=0.05)
    for _ in range(200):
        loss, watched = objective.loss(policy, batch, draws())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 0.2 < float(watched[share]) <= 0.5
    on = torch.cat(policy.gates.table(), dim=1)
    assert share == "mac_share" or float(watched[share]) == pytest.approx(float(on.mean()))


def test_a_budget_that_is_met_exactly_pushes_no_further() -> None:
    from driving_samples import DrivingTiles, batch_of, draws, torch

    torch.manual_seed(0)
    policy = DrivingTiles(DrivingTilesConfig(**SMALL, gated=True))
    with torch.no_grad():
        policy.gates.logits.weight.zero_()
        policy.gates.logits.bias.copy_(torch.tensor([1.0] + [-1.0] * (len(policy.gates.logits.bias) - 1)))
    share = float(policy(*batch_of(list(range(6))).inputs.values()).tile_share[0])
    for budget, pushes in ((share, False), (share - 0.01, True)):
        options = {"mac_budget": 1.0, "tile_budget": budget}
        objective = DrivingImitation(steer=0, pedal=0, pedal_rest=0, concepts=0, budget=1.0, mirror=0, **options)
        policy.zero_grad()
        objective.loss(policy, batch_of(list(range(6))), draws())[0].backward()
        assert bool(policy.gates.logits.bias.grad.any()) == pushes, budget


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steer": -1.0}, "'steer' is -1.0"),
        ({"mirror": 1.5}, "'mirror' is 1.5; it must be from 0 to 1"),
        ({"tile_budget": 1.5}, "'tile_budget' is 1.5; it must be from 0 to 1"),
        ({"concepts": float("nan")}, "'concepts' is nan"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(TrainConfigError, match=message):
        DrivingImitation(**options)  # type: ignore[arg-type]


def test_another_policy_is_refused() -> None:
    from driving_samples import draws, torch

    with pytest.raises(TrainConfigError, match="takes a driving policy"):
        PLAIN.loss(torch.nn.Identity(), Batch({"x": torch.zeros(1, 2)}, torch.zeros(1, 7)), draws())
