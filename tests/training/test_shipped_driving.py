"""The drivers in examples/driving: small, what their provenance says, and able to drive."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from vla_training.config.load import load_config
from vla_training.config.run import TrainConfig
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import evaluate

SHIPPED = Path(__file__).parents[2] / "examples" / "driving"
NAMES = ("dense", "gated")
LAST = (  # what the second run of gates has of its own, see ship.py
    *("--steps", "3000", "--learning-rate", "2e-4"),
    *("--objective-options.tile-budget", "0.645", "--objective-options.budget-from", "0.3"),
)


def shipped(name: str) -> Any:
    pytest.importorskip("torch")
    from vla_models.saved import load_policy

    return load_policy(SHIPPED / name)


def test_they_are_small() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < 5_000_000


@pytest.mark.parametrize("name", NAMES)
def test_they_are_of_the_configs_in_the_repository(name: str) -> None:
    trained = json.loads((SHIPPED / "provenance.json").read_text())[name]
    named = ("driving_tiles", ()) if name == "dense" else ("driving_gated", LAST)
    config = load_config(*named).to_json()
    stored = json.loads(json.dumps(config))
    since = {field.name: field.default for field in fields(TrainConfig) if field.name not in trained["config"]}
    assert {**since, **trained["config"], "init_from": ""} == {**stored, "init_from": ""}  # new options: as before them
    assert trained["last"]["step"] == stored["steps"]
    assert json.loads((SHIPPED / name / "config.json").read_text()) == {
        "type": stored["policy"],
        **stored["policy_options"],
    }


def test_each_command_has_a_third_of_the_tiles_off() -> None:
    policy = shipped("gated")
    on = [sum(float(row.sum()) for row in mask) for mask in zip(*policy.gates.table(), strict=True)]
    tiles = sum(policy.gates.tiles)
    assert all(count <= 0.65 * tiles for count in on), on
    assert all(not any(row[0] == 0 for row in mask) for mask in policy.gates.table())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_drive(name: str) -> None:
    pytest.importorskip("panda3d")
    played = evaluate(RunnerSpec("float", SHIPPED / name), "driving", "clear", 3)
    assert played.successes >= 2, [(e.seed, e.score, e.failure) for e in played.episodes]
