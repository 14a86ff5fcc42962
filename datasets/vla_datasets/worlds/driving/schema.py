"""What one frame of the driving world holds: names, commands and concepts.

Commands and concepts are those of the earlier CARLA system (nine strings of its collector, five labels). Not here: when
each is true (`route.py`, `hazards.py`).
"""

from __future__ import annotations

from vla_datasets.keys import ACTION, DONE, REWARD, STATE, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.worlds.world import Schema

__all__ = [
    "ACTION_NAMES",
    "COMMAND",
    "COMMANDS",
    "CONCEPTS",
    "FRAMES_PER_SECOND",
    "IMAGE",
    "LOCATION",
    "SCHEMA",
    "SIZE",
    "concept",
]

SIZE = 256  # pixels of the image's sides
FRAMES_PER_SECOND = 10
IMAGE = image("front")
LOCATION = "location"  # for people and for splits by place: no policy sees it
COMMAND = "observation.command"  # an index of COMMANDS
COMMANDS = (
    "follow lane",
    "go straight",
    "turn left",
    "turn right",
    "change lane left",
    "change lane right",
    "stop at red light",
    "brake for vehicle",
    "brake for pedestrian",
)
CONCEPTS = ("near_pedestrian", "env_night", "env_rain", "near_vehicle", "near_junction")
ACTION_NAMES = ("steer", "throttle", "brake")  # -1..1 (right is positive), 0..1, 0..1


def concept(name: str) -> str:
    """The key of a concept's label."""
    return f"concept.{name}"


SCHEMA = Schema(
    features={
        IMAGE: Feature("image", (SIZE, SIZE, 3), ("height", "width", "channels")),
        STATE: Feature("float32", (1,), ("speed",)),  # metres per second
        LOCATION: Feature("float32", (2,), ("x", "y")),  # metres, CARLA's axes
        COMMAND: Feature("int64", (1,)),
        **{concept(name): Feature("bool", (1,)) for name in CONCEPTS},
        ACTION: Feature("float32", (3,), ACTION_NAMES),
        REWARD: Feature("float32", (1,)),
        DONE: Feature("bool", (1,)),
        **BOOKKEEPING,
    },
    fps=FRAMES_PER_SECOND,
    idle=(0.0, 0.0, 0.0),
)
