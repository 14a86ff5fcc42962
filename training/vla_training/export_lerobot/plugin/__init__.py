"""Importing this makes LeRobot (0.4) know policies of type `vla_toolchain`. LeRobot must be installed.

Modules and names are those by which `lerobot.policies.factory` finds the parts of a policy that is not its own.
"""

from __future__ import annotations

from vla_training.export_lerobot.plugin.configuration_vla_toolchain import VlaToolchainConfig

__all__ = ["VlaToolchainConfig"]
