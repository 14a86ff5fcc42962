"""What writer and plugin call things, each written once; the rest are LeRobot's names."""

from __future__ import annotations

__all__ = ["MODEL", "OBSERVED", "POSTPROCESSOR", "PREPROCESSOR", "TYPE", "VISUAL"]

TYPE = "vla_toolchain"  # of the policy, in LeRobot's config.json
MODEL = "model."  # in front of the names of our weights
PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor", "policy_postprocessor"  # names, and of their files .json
OBSERVED = "observation."  # LeRobot hands a policy only keys that begin so, and the task
VISUAL = "VISUAL"  # LeRobot's type of a picture (3, H, W)
