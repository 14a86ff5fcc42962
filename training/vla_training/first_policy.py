"""The policy that a run trains, before its first step: new, a saved one, or a saved one as the device computes it.

Not here: a run that goes on, whose weights then come from its checkpoint (`checkpoint.py`).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from vla_datasets.errors import DatasetError
from vla_datasets.lerobot.format import STATS_PATH
from vla_datasets.lerobot.reader import read_statistics
from vla_models.registry import QUANTIZED, PolicySpec, find_policy
from vla_models.saved import load_config, load_policy
from vla_training.calibrate import calibration_arrays
from vla_training.checkpoint import pretrained_folder
from vla_training.config.run import TrainConfig
from vla_training.errors import TrainConfigError

__all__ = ["first_policy"]

_CALIBRATION_FRAMES = 256  # as `vla-train calibrate` takes


def first_policy(config: TrainConfig[Any, Any], data: Path) -> torch.nn.Module:
    """A policy with random weights (from torch's generator), or with those of `config.init_from`.

    Raises:
        TrainConfigError: the saved policy is another one, or has other options than the run; or there is none, and
            the policy has parts that are to stay as another run left them.
        CheckpointError, PolicyError: there is no saved policy, or it cannot be trained as the device computes it.
        DatasetError: the data has not what the policy or its calibration takes from it.
    """
    spec = find_policy(config.policy)
    try:
        options = spec.fitted(config.policy_options, read_statistics(data))
    except (LookupError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{data / STATS_PATH} has not what policy '{config.policy}' takes from it: {error}."
        ) from error
    if not config.init_from:
        policy = spec.make(options)
        if option := getattr(policy, "keeps_what_was_learnt", ""):
            raise TrainConfigError(
                f"'{option}' keeps weights of policy '{config.policy}' as another run left them, and 'init_from' names "
                "none: they would stay random. Give the run's folder, or turn it off."
            )
        return policy
    folder = pretrained_folder(Path(config.init_from))
    _check_saved(config, folder, options)
    policy = load_policy(folder)
    if not config.qat:
        return _with_options(spec, options, load_config(folder)[1], policy)
    if load_config(folder)[0] is QUANTIZED:
        return policy
    from vla_models.quantized.convert import quantize_policy  # the compiler: needed here only

    return quantize_policy(policy, config.policy, calibration_arrays(data, folder, _CALIBRATION_FRAMES))


def _check_saved(config: TrainConfig[Any, Any], folder: Path, fitted: Any) -> None:
    """Refuse a saved policy that is not the one that the run says it trains.

    Options that come from the data may differ: those of the saved one stay. So may those of which the saved policy's
    config says it (`may_differ`): those of the run hold.
    """
    spec, saved = load_config(folder)
    if spec is QUANTIZED and not config.qat:
        raise TrainConfigError(f"'init_from' is {folder}, a quantized policy; it goes on with 'qat' only.")
    name, found = (saved.policy, dict(saved.options)) if spec is QUANTIZED else (spec.name, dataclasses.asdict(saved))
    if name != config.policy:
        raise TrainConfigError(f"'init_from' is {folder}, a policy '{name}'; the run trains '{config.policy}'.")
    chosen, with_data = dataclasses.asdict(config.policy_options), dataclasses.asdict(fitted)
    for key, value in chosen.items():
        if key in _may_differ(saved) and not config.qat:
            continue
        if with_data[key] == value and _as_json(found.get(key)) != _as_json(value):
            raise TrainConfigError(
                f"'policy_options.{key}' is {value}, and that of {folder} is {found.get(key)}; give the same."
            )


def _may_differ(options: Any) -> frozenset[str]:
    return getattr(options, "may_differ", frozenset())


def _with_options(spec: PolicySpec, options: Any, saved: Any, policy: torch.nn.Module) -> torch.nn.Module:
    """The saved policy; where options differ that may, one with the run's, and what the saved one lacks is new.

    A policy whose weights have other sizes then says what becomes of them: `adopted`.
    """
    wanted = dataclasses.replace(saved, **{key: getattr(options, key) for key in _may_differ(saved)})
    if wanted == saved:
        return policy
    changed = spec.make(wanted)
    known, given = changed.state_dict(), policy.state_dict()
    given = changed.adopted(given) if hasattr(changed, "adopted") else given
    changed.load_state_dict({key: given.get(key, value) for key, value in known.items()})
    return changed


def _as_json(value: Any) -> str:
    """Equal for a tuple and the list that it was stored as."""
    return json.dumps(value, sort_keys=True)
