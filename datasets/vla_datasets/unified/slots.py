"""What each of the 128 places of RDT's unified vector holds, by name; SI units, grippers from 0 (closed) to 1 (open).

A name without a side is the right arm's, so that a robot of one arm uses the right places. Places without a name
are reserved.
Source: thu-ml/RoboticsDiffusionTransformer, `configs/state_vec.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["SIZE", "SLOTS"]

SIZE = 128

_ARM: Sequence[tuple[int, Sequence[str]]] = (  # first place, counted from the arm's own, and the names from there
    (0, [f"arm_joint_{number}_pos" for number in range(10)]),
    (10, [f"gripper_joint_{number}_pos" for number in range(5)]),
    (10, ["gripper_open"]),  # of a gripper that is one number
    (15, [f"arm_joint_{number}_vel" for number in range(10)]),
    (25, [f"gripper_joint_{number}_vel" for number in range(5)]),
    (25, ["gripper_open_vel"]),
    (30, [f"eef_pos_{axis}" for axis in "xyz"]),
    (33, [f"eef_angle_{number}" for number in range(6)]),  # as `rotation.py` has it
    (39, [f"eef_vel_{axis}" for axis in "xyz"]),
    (42, [f"eef_angular_vel_{axis}" for axis in ("roll", "pitch", "yaw")]),
)


def _arm(side: str, offset: int) -> dict[str, int]:
    return {side + name: offset + first + number for first, names in _ARM for number, name in enumerate(names)}


SLOTS: Mapping[str, int] = {
    **_arm("", 0),
    **_arm("right_", 0),
    **_arm("left_", 50),
    "base_vel_x": 100,
    "base_vel_y": 101,
    "base_angular_vel": 102,
}
