"""Whether a model or a program is of the policy whose preprocessor it is given.

Policies of one kind take and give tensors of the same names; what one says with the other one's statistics is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vla_training.evaluate.backends import RunnerSpec

__all__ = ["entry_of_policy", "refuse_another"]


def entry_of_policy(spec: RunnerSpec, said: Mapping[str, str]) -> str | None:
    """The first entry point that is of the policy; None where that is not known.

    Args:
        spec: what is run, and with which policy; one that is named, or that nobody gave, may be any.
        said: digests of policies by entry point.

    Raises:
        PolicyError, CheckpointError: all that is said is of other weights, or the policy cannot be read.
    """
    if not said or not spec.policy or not Path(spec.policy).is_dir():
        return None
    from vla_models.weights_id import entry_of
    from vla_training.checkpoint import pretrained_folder

    return entry_of(pretrained_folder(Path(spec.policy)), said, str(spec.path))


def refuse_another(spec: RunnerSpec, said: Mapping[str, str]) -> None:
    """As `entry_of_policy`, where each of these entry points must be of the policy.

    Raises:
        PolicyError, CheckpointError: one is not.
    """
    for entry, policy in said.items():
        entry_of_policy(spec, {entry: policy})
