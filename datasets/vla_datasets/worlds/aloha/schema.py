"""What a frame of ALOHA holds, by level.

The robot and the task: Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware", RSS 2023
(arXiv 2304.13705); the environment is the package `gym-aloha`. Values have the names of the unified vector.
"""

from __future__ import annotations

from collections.abc import Mapping

from vla_datasets.errors import CollectError
from vla_datasets.keys import ACTION, DONE, REWARD, STATE, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.unified.robots import find_robot
from vla_datasets.worlds.world import Schema
from vla_isa.errors import did_you_mean

__all__ = ["CAMERAS", "CUBE", "FPS", "IDLE", "IMAGE_SHAPE", "JOINTS", "LEVELS", "SENTENCE", "cameras_of", "schema"]

SENTENCE = "pick up the red cube with the right arm and hand it over to the left arm"
JOINTS = tuple(find_robot("aloha").names)  # left arm 6, left gripper, right arm 6, right gripper
CAMERAS = ("top", "left_wrist", "right_wrist")
CUBE = "observation.environment_state"  # LeRobot's name: the cube's place (m) and quaternion (w first)
IMAGE_SHAPE = (96, 128, 3)
FPS = 25  # RDT's control frequency: two of gym-aloha's steps

_ARM, _GRIPPER = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0), 0.1
IDLE = (*_ARM, _GRIPPER, *_ARM, _GRIPPER)  # gym-aloha's first pose

LEVELS: Mapping[str, tuple[str, ...]] = {"transfer": CAMERAS, "transfer+top": ("top",), "transfer+state": ()}


def cameras_of(level: str) -> tuple[str, ...]:
    """The cameras of a level; with none there is the cube's pose.

    Raises:
        CollectError: no such level.
    """
    if level not in LEVELS:
        known = f"Known: {', '.join(LEVELS)}."
        raise CollectError(f"Unknown ALOHA level '{level}'.{did_you_mean(level, LEVELS, known)}")
    return LEVELS[level]


def schema(level: str) -> Schema:
    """What a frame of a level holds.

    Raises:
        CollectError: no such level.
    """
    cameras = cameras_of(level)
    pictures = {image(camera): Feature("image", IMAGE_SHAPE, ("height", "width", "channels")) for camera in cameras}
    cube = {} if cameras else {CUBE: Feature("float32", (7,), ("x", "y", "z", "qw", "qx", "qy", "qz"))}
    return Schema(
        features={
            **pictures,
            STATE: Feature("float32", (14,), JOINTS),  # radians; grippers 0 (closed) to 1 (open)
            **cube,
            ACTION: Feature("float32", (14,), JOINTS),  # where they should be
            REWARD: Feature("float32", (1,)),
            DONE: Feature("bool", (1,)),
            **BOOKKEEPING,
        },
        fps=FPS,
        idle=IDLE,
    )
