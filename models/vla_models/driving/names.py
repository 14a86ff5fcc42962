"""Names and commands of the driving policies: the network's tensors, the data's keys, the branches.

The keys and the order of the commands are those of the driving world (`vla_datasets.worlds.driving.schema`; a test
compares them), written here again because a robot has no use for that package's dependencies.
"""

from __future__ import annotations

from vla_datasets.keys import image

__all__ = [
    "BRANCHES",
    "BRANCH_OF_COMMAND",
    "CAMERA",
    "COMMAND",
    "COMMAND_KEY",
    "CONCEPTS",
    "CONCEPT_KEYS",
    "CONTROL",
    "IMAGE",
    "MEASURES",
    "MIRRORED",
    "SPEED_UNIT",
    "WORLD_SIZE",
]

IMAGE, COMMAND, MEASURES = "image", "command", "measures"  # inputs
CONTROL, CONCEPTS = "control", "concepts"  # outputs

CAMERA = image("front")
WORLD_SIZE = 256  # pixels of the world's image, both sides
COMMAND_KEY = "observation.command"
CONCEPT_KEYS = tuple(
    f"concept.{name}" for name in ("near_pedestrian", "env_night", "env_rain", "near_vehicle", "near_junction")
)
SPEED_UNIT = 10.0  # metres per second that count as 1 in the measures

# Tasks of the policies; the names are those of the task masks, too.
BRANCHES = ("follow_lane", "turn_left", "turn_right", "change_lane_left", "change_lane_right", "stop")
BRANCH_OF_COMMAND = (0, 0, 1, 2, 3, 4, 5, 5, 5)  # by the world's command; going straight on follows the lane
MIRRORED = (0, 2, 1, 4, 3, 5)  # the branch of the mirrored image
