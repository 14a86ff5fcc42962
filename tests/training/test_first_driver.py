"""A gated driver starts from a dense one, a policy of any goal from one of a single goal; nothing else may differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vla_datasets.files import write_json
from vla_datasets.lerobot.format import STATS_PATH
from vla_training.config.load import load_config
from vla_training.errors import TrainConfigError

SMALL = {"channels": (32, 48), "strides": (2, 2), "image_size": 16, "measure_features": 8, "fused": 16, "branch": (16,)}


def test_gates_are_new_and_all_on_and_the_rest_is_the_dense_drivers(tmp_path: Path) -> None:
    from driving_samples import DrivingTiles, torch

    from vla_models.driving_tiles.config import DrivingTilesConfig
    from vla_models.saved import save_policy
    from vla_training.first_policy import first_policy

    dense_config = DrivingTilesConfig(**SMALL)
    dense = DrivingTiles(dense_config)
    (tmp_path / "dense").mkdir()
    save_policy(tmp_path / "dense", "driving_tiles", dense_config, dense.state_dict())
    write_json(tmp_path / STATS_PATH, {})
    gated = dataclasses.replace(dense_config, gated=True, past=False)
    config = dataclasses.replace(
        load_config("driving_gated"), policy_options=gated, init_from=str(tmp_path / "dense"), qat=False
    )
    policy = first_policy(config, tmp_path)
    assert policy.config == gated and all(mask.all() for mask in policy.gates.table())
    inputs = dense.example_inputs(3, 1)
    assert torch.equal(policy(*inputs.values()).control, dense(*inputs.values()).control)
    wider = dataclasses.replace(gated, fused=32)
    with pytest.raises(TrainConfigError, match=r"'policy_options.fused' is 32, and that of .*dense is 16"):
        first_policy(dataclasses.replace(config, policy_options=wider), tmp_path)


def test_pictures_of_goals_are_asked_as_the_plane_is(tmp_path: Path) -> None:
    import torch

    from vla_models.pi_zero_pixels.config import PiZeroPixelsConfig
    from vla_models.pi_zero_pixels.model import PiZeroPixels
    from vla_models.saved import save_policy
    from vla_training.first_policy import first_policy

    sizes = {"prefix_width": 16, "prefix_hidden": 32, "action_width": 16, "action_hidden": 32, "depth": 1, "heads": 2}
    single = PiZeroPixelsConfig(**sizes, head_width=8, channels=(4, 8), tower_layers=1, tower_hidden=16)
    saved = PiZeroPixels(single)
    (tmp_path / "single").mkdir()
    save_policy(tmp_path / "single", "pi_zero_pixels", single, saved.state_dict())
    write_json(tmp_path / STATS_PATH, {})
    any_goal = dataclasses.replace(single, goal=True, hindsight=0.5)
    config = load_config("pusht_pi_zero_goal")
    config = dataclasses.replace(config, policy_options=any_goal, init_from=str(tmp_path / "single"))
    policy = first_policy(config, tmp_path)
    assert policy.config == any_goal
    given, found = saved.state_dict(), policy.state_dict()
    assert set(found) - set(given) == {"there"}
    assert torch.equal(found.pop("tower.queries"), given.pop("tower.queries")[:8])
    assert all(torch.equal(found[key], value) for key, value in given.items())
