"""Whether a model or a program is of the policy whose preprocessor it is given.

Policies of one kind take and give tensors of the same names; what one says with the other one's statistics is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vla_models import weights_id
from vla_training.evaluate.backends import RunnerSpec

__all__ = ["entry_of_policy", "refuse_another"]


def entry_of_policy(spec: RunnerSpec, said: Mapping[str, str]) -> str | None:
    """The first entry point that is of the policy; None where none is, or it is not known.

    Args:
        spec: what is run, and with which policy; one that is named, or that nobody gave, may be any.
        said: digests of policies by entry point.

    Raises:
        PolicyError, CheckpointError: the policy cannot be read.
    """
    return weights_id.entry_of(_folder(spec), said) if said and _is_saved(spec) else None


def refuse_another(spec: RunnerSpec, said: Mapping[str, str]) -> None:
    """Refuse entry points that are not of the policy; see `entry_of_policy`.

    Raises:
        PolicyError, CheckpointError: one is of other weights, or the policy cannot be read.
    """
    if said and _is_saved(spec):
        weights_id.refuse_another(_folder(spec), said, str(spec.path))


def _is_saved(spec: RunnerSpec) -> bool:
    return bool(spec.policy) and Path(spec.policy).is_dir()


def _folder(spec: RunnerSpec) -> Path:
    from vla_training.checkpoint import pretrained_folder

    return pretrained_folder(Path(spec.policy))
