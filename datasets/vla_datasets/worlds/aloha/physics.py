"""gym-aloha's two simulations of the cube's transfer, without the pictures that it draws in every step.

In the one, position servos take joint angles; in the other, fingertips are pulled to where they should be. The
simulations have the same arms and cube, so that what was rehearsed in one can be replayed in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from dm_control.mujoco import Physics
from dm_control.rl.control import Environment
from gym_aloha.constants import ASSETS_DIR, DT
from gym_aloha.tasks import sim
from gym_aloha.tasks.sim_end_effector import TransferCubeEndEffectorTask

__all__ = ["DT", "SIDES", "Fingertips", "Servos", "joint_limits"]

Array = npt.NDArray[np.float64]

SIDES = ("left", "right")
_ARMS = 16  # values of qpos: six joints and two fingers of each arm; behind them the cube's seven
_SOFT = (0.9, 0.95, 0.001)  # how softly fingertips are pulled; gym-aloha's (0.25, ...) lags 5 mm under MuJoCo 3
_HAND = {"left": (-0.134706, 0.0, 0.00205), "right": (0.134706, 0.0, 0.00205)}  # m, the hand from its fingertips
_FACING = {"left": (1.0, 0.0, 0.0, 0.0), "right": (0.0, 0.0, 0.0, 1.0)}  # the hand's turn where the fingertips' is none


class _JointTask(sim.TransferCubeTask):  # type: ignore[misc]  # gym_aloha is untyped here
    """Actions are gym-aloha's (14,): angles of the left arm, its gripper, the same of the right arm."""

    cube = np.zeros(7)

    def initialize_episode(self, physics: Any) -> None:
        sim.BOX_POSE[0] = self.cube  # how gym-aloha is told
        super().initialize_episode(physics)

    def get_observation(self, physics: Any) -> Mapping[str, Any]:
        return {}


class _TipTask(TransferCubeEndEffectorTask):  # type: ignore[misc]  # gym_aloha is untyped here
    """Actions are gym-aloha's (16,): place, quaternion and gripper of the left fingertips, the same of the right."""

    start = np.zeros(_ARMS + 7)

    def initialize_episode(self, physics: Any) -> None:
        with physics.reset_context():
            physics.data.qpos[:] = self.start
            physics.data.ctrl[:] = self.start[[6, 7, 14, 15]]
        for number, side in enumerate(SIDES):
            hand = physics.named.data
            place, turn = _tips(
                side, hand.xpos[f"vx300s_{side}/gripper_link"], hand.xquat[f"vx300s_{side}/gripper_link"]
            )
            physics.data.mocap_pos[number], physics.data.mocap_quat[number] = place, turn

    def get_observation(self, physics: Any) -> Mapping[str, Any]:
        return {}


class _Simulation:
    """Arms and cube. A step is `DT` seconds."""

    def __init__(self, model: str, task: Any) -> None:
        self.physics: Any = Physics.from_xml_path(str(ASSETS_DIR / f"{model}.xml"))
        self._task = task
        self._env = Environment(self.physics, task, time_limit=float("inf"), control_timestep=DT)

    def step(self, action: Array) -> int:
        """Do one action; gym-aloha's reward of the state after it, 0 to 4."""
        return int(self._env.step(action).reward)

    @property
    def joints(self) -> Array:
        """Where the arms are (14,): radians, grippers 0 (closed) to 1 (open)."""
        found: Array = self._task.get_qpos(self.physics)
        return found

    @property
    def cube(self) -> Array:
        """The cube's pose (7,)."""
        return np.array(self.physics.data.qpos[_ARMS:])

    def close(self) -> None:
        """Free MuJoCo's memory, and what its cameras hold."""
        self.physics.free()


class Servos(_Simulation):
    """Told joint angles, as the robot is."""

    def __init__(self) -> None:
        super().__init__("bimanual_viperx_transfer_cube", _JointTask())

    def reset(self, cube: Array) -> None:
        """Arms in their first pose, the cube at a pose (7,)."""
        self._task.cube = cube
        self._env.reset()


class Fingertips(_Simulation):
    """Told where the fingertips should be."""

    def __init__(self) -> None:
        super().__init__("bimanual_viperx_end_effector_transfer_cube", _TipTask())
        self.physics.model.eq_solimp[:, :3] = _SOFT

    def reset(self, state: Array) -> None:
        """Arms and cube as in another simulation, whose `physics.data.qpos` (23,) `state` is; at rest."""
        self._task.start = state
        self._env.reset()

    def tips(self, side: str) -> tuple[Array, Array]:
        """Where the fingertips of a side are pulled to: place (3,) and quaternion (4,)."""
        number = SIDES.index(side)
        return np.array(self.physics.data.mocap_pos[number]), np.array(self.physics.data.mocap_quat[number])


def joint_limits(servos: Servos) -> tuple[Array, Array]:
    """The least and the largest of each of the 14 values of an action."""
    ranges = np.array(servos.physics.model.actuator_ctrlrange)
    low, high = (np.delete(ranges[:, column], [7, 15]) for column in (0, 1))  # a gripper's fingers are one value
    low[[6, 13]], high[[6, 13]] = 0.0, 1.0
    return low, high


def _tips(side: str, hand: Array, turn: Array) -> tuple[Array, Array]:
    """Place and quaternion of the fingertips of a hand at a place (3,) with a quaternion (4,)."""
    facing, without, place = np.zeros(4), np.zeros(4), np.zeros(3)
    mujoco.mju_negQuat(facing, np.array(_FACING[side]))
    mujoco.mju_mulQuat(without, np.array(turn), facing)
    mujoco.mju_rotVecQuat(place, np.array(_HAND[side]), without)
    return hand - place, without
