"""RDT's unified vector: places, masks, robots, rotations. Places are written out here from the paper's description."""

from __future__ import annotations

import numpy as np
import pytest

from vla_datasets.errors import DatasetError
from vla_datasets.unified.robots import find_robot
from vla_datasets.unified.rotation import from_6d, to_6d
from vla_datasets.unified.slots import SIZE, SLOTS
from vla_datasets.unified.vector import from_unified, to_unified

PLACES = {
    "arm_joint_0_pos": 0, "right_arm_joint_9_pos": 9, "gripper_open": 10, "right_gripper_joint_4_pos": 14,
    "arm_joint_0_vel": 15, "right_arm_joint_9_vel": 24, "gripper_open_vel": 25, "gripper_joint_4_vel": 29,
    "eef_pos_x": 30, "right_eef_pos_z": 32, "eef_angle_0": 33, "eef_angle_5": 38, "right_eef_vel_x": 39,
    "eef_vel_z": 41, "eef_angular_vel_roll": 42, "right_eef_angular_vel_yaw": 44,
    "left_arm_joint_0_pos": 50, "left_arm_joint_9_pos": 59, "left_gripper_open": 60, "left_gripper_joint_4_pos": 64,
    "left_arm_joint_0_vel": 65, "left_arm_joint_9_vel": 74, "left_gripper_open_vel": 75, "left_gripper_joint_4_vel": 79,
    "left_eef_pos_x": 80, "left_eef_pos_z": 82, "left_eef_angle_0": 83, "left_eef_angle_5": 88, "left_eef_vel_x": 89,
    "left_eef_angular_vel_roll": 92, "left_eef_angular_vel_yaw": 94,
    "base_vel_x": 100, "base_vel_y": 101, "base_angular_vel": 102,
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_places(name: str) -> None:
    assert SLOTS[name] == PLACES[name]


def test_reserved_places_have_no_name() -> None:
    reserved = {*range(45, 50), *range(95, 100), *range(103, 128)}
    assert set(SLOTS.values()) == set(range(SIZE)) - reserved


def test_a_name_without_a_side_is_the_right_arms() -> None:
    right = {name: place for name, place in SLOTS.items() if name.startswith("right_")}
    assert len(right) == 47
    assert all(SLOTS[name.removeprefix("right_")] == place for name, place in right.items())
    assert all(SLOTS[name.replace("right_", "left_")] == place + 50 for name, place in right.items())


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_there_and_back(shape: tuple[int, ...]) -> None:
    names = find_robot("aloha").names
    values = np.arange(1, 1 + 14 * int(np.prod(shape)), dtype=np.float32).reshape(*shape, 14)
    vector, mask = to_unified(names, values)
    wanted = [*range(50, 56), 60, *range(6), 10]
    assert vector.shape == (*shape, 128) and vector.dtype == np.float32
    assert np.array_equal(vector[..., wanted], values)
    assert np.flatnonzero(mask).tolist() == sorted(wanted) and mask.shape == (128,)
    assert (vector[..., mask == 0] == 0).all()
    assert np.array_equal(from_unified(names, vector), values)


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        (["left_arm_joint_10_pos"], [0.0], "no place 'left_arm_joint_10_pos'. Did you mean 'left_arm_joint_"),
        (["quux"], [0.0], "no place 'quux'. The names are in"),
        (["gripper_open", "right_gripper_open"], [0, 1], "'gripper_open' and 'right_gripper_open' are both place 10"),
        (["eef_pos_x"], [0.0, 1.0], r"of shape \[2\]; 1 names need 1 on the last axis"),
        (["eef_pos_x"], 1.0, r"of shape \[\]"),
    ],
)  # fmt: skip
def test_what_is_refused(names: list[str], values: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        to_unified(names, values)  # type: ignore[arg-type]


def test_no_unified_vector() -> None:
    with pytest.raises(DatasetError, match=r"shape \[2, 127\]; its last axis must be 128"):
        from_unified(["eef_pos_x"], np.zeros((2, 127)))


def test_grippers_of_a_robot() -> None:
    agilex = find_robot("agilex")
    own = np.tile(np.arange(1.0, 15.0), (3, 1))
    state, mask = agilex.state(own)
    action, _ = agilex.action(own)
    assert np.allclose(state[:, 60], 7 / 4.7908) and np.allclose(state[:, 10], 14 / 4.7888)
    assert np.allclose(action[:, 60], 7 / 11.8997) and np.allclose(action[:, 10], 14 / 13.9231)
    assert np.array_equal(state[:, 50:56], own[:, :6]) and np.array_equal(action[:, :6], own[:, 7:13])
    assert mask.sum() == 14 and (state[:, mask == 0] == 0).all()
    assert np.allclose(agilex.own_action(action), own)
    assert np.array_equal(find_robot("aloha").own_action(find_robot("aloha").action(own)[0]), own)
    with pytest.raises(DatasetError, match=r"Unknown robot 'agilx'. Did you mean 'agilex'"):
        find_robot("agilx")


def rotations(number: int) -> np.ndarray:
    """Random rotation matrices, as Q of random matrices."""
    found = np.linalg.qr(np.random.default_rng(0).normal(size=(number, 3, 3)))[0]
    found[:, :, 2] *= np.linalg.det(found)[:, None]
    return found


def test_six_numbers_of_a_rotation() -> None:
    matrix = rotations(1)[0]
    assert np.array_equal(to_6d(matrix), [*matrix[:, 0], *matrix[:, 1]])


def test_rotations_there_and_back() -> None:
    matrices = rotations(50)
    assert np.abs(from_6d(to_6d(matrices)) - matrices).max() < 1e-12


def test_any_six_numbers_are_a_rotation() -> None:
    numbers = np.random.default_rng(1).normal(size=(50, 6)) * 3
    found = from_6d(numbers)
    assert np.abs(found.transpose(0, 2, 1) @ found - np.eye(3)).max() < 1e-12
    assert np.abs(np.linalg.det(found) - 1).max() < 1e-12
    x = numbers[:, :3] / np.linalg.norm(numbers[:, :3], axis=1, keepdims=True)
    assert np.abs(found[:, :, 0] - x).max() < 1e-12
    assert ((found[:, :, 1] * numbers[:, 3:]).sum(1) > 0).all()  # y is on the side of the second direction
    assert np.abs((found[:, :, 2] * numbers[:, 3:]).sum(1)).max() < 1e-12  # and z at right angles to it


@pytest.mark.parametrize(
    "numbers", [np.zeros(6), [1, 0, 0, 2, 0, 0], [1, 0, 0, -3, 0, 0], [np.nan, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]]
)
def test_six_numbers_that_are_no_rotation(numbers: object) -> None:
    with pytest.raises(DatasetError, match="are no rotation"):
        from_6d(numbers)  # type: ignore[arg-type]


def test_shapes_that_are_no_rotations() -> None:
    with pytest.raises(DatasetError, match=r"\[5\]; their last axis must be 6"):
        from_6d(np.zeros(5))
    with pytest.raises(DatasetError, match=r"\[3, 2\]; a matrix is \[3, 3\]"):
        to_6d(np.zeros((3, 2)))
