"""What comes from outside in the place of an observation's numbers: one error that names it, and nothing remembered."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from vla_models.babyai_cnn.preprocess import CAMERA as VIEW
from vla_models.babyai_cnn.preprocess import BabyAIPreprocessor
from vla_models.driving.names import BRANCH_OF_COMMAND, BRANCHES, CAMERA, COMMAND, COMMAND_KEY
from vla_models.driving_tiles.config import DrivingTilesConfig
from vla_models.driving_tiles.preprocess import DrivingTilesPreprocessor
from vla_models.errors import ObservationError
from vla_models.lerobot.features import Feature
from vla_models.lerobot.preprocess import LerobotPreprocessor
from vla_models.observed import read_floats, read_number

STATE = "observation.state"
NO_NUMBER = {
    "text": "left",
    "digits": "3",
    "nothing": None,
    "map": {"a": 1},
    "unequal lists": [[1], [1, 2]],
    "no element": [],
    "not a number": float("nan"),
    "infinite": float("inf"),
    "beyond float32": 1e39,
    "bool": True,
    "bytes": b"\x03",
    "two": [3, 4],
}


def driving() -> tuple[Any, dict[str, Any]]:
    robot = DrivingTilesPreprocessor(DrivingTilesConfig())
    robot.reset("drive")
    return robot, {CAMERA: np.zeros((256, 256, 3), np.uint8), STATE: np.array([3.0]), COMMAND_KEY: np.array([3])}


def grid() -> tuple[Any, dict[str, Any]]:
    robot = BabyAIPreprocessor()
    robot.reset("go to the red ball")
    return robot, {VIEW: np.zeros((56, 56, 3), np.uint8)}


def imported() -> tuple[Any, dict[str, Any]]:
    robot = LerobotPreprocessor({"state": Feature(STATE, (1,), (0,), (1,))}, Feature("action", (1,), (0,), (1,)), 1, 1)
    return robot, {STATE: np.array([3.0])}


@pytest.mark.parametrize("given", NO_NUMBER.values(), ids=NO_NUMBER.keys())
@pytest.mark.parametrize("make", [driving, grid, imported])
def test_what_is_no_number_is_refused_by_name(make: Any, given: Any) -> None:
    robot, right = make()
    for key in right:
        with warnings.catch_warnings(), pytest.raises(ObservationError, match=f"'{key}' is "):
            warnings.simplefilter("error")
            robot.inputs({**right, key: given})
    assert robot.inputs(right)


@pytest.mark.parametrize("given", [2.7, -1, 9, 2**63, np.eye(9)[3], np.eye(9, dtype=np.int64)[3], np.array([[3, 3]])])
def test_a_command_is_one_whole_number_of_the_world(given: Any) -> None:
    """Of a one-hot vector the first element would be another command."""
    robot, right = driving()
    with pytest.raises(ObservationError, match=f"'{COMMAND_KEY}' is .*; it must be one whole number from 0 to 8"):
        robot.inputs({**right, COMMAND_KEY: given})


@pytest.mark.parametrize("command", range(9))
def test_a_command_in_any_form_is_the_same_one(command: int) -> None:
    robot, right = driving()
    for given in (command, float(command), np.uint8(command), [command], np.array([[command]], np.float32)):
        made = robot.inputs({**right, COMMAND_KEY: given})
        assert made[COMMAND].tolist() == [[float(b == BRANCH_OF_COMMAND[command]) for b in range(len(BRANCHES))]]
        assert robot.entry(made) is None  # no gates


def test_the_ends_of_what_is_taken() -> None:
    largest = float(np.finfo(np.float32).max)
    assert read_floats({"v": [largest, -(2**63)]}, "v", 2).tolist() == [largest, -(2.0**63)]
    assert [read_number({"n": n}, "n", 3) for n in range(3)] == [0, 1, 2]
    with pytest.raises(ObservationError, match="has no 'n'; it has v"):
        read_number({"v": 1}, "n", 3)
