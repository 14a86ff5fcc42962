"""LeRobot's features as ours: what the network observes, by the names of its inputs, and what it does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vla_datasets.keys import ACTION, STATE
from vla_models.errors import PolicyError
from vla_models.lerobot.features import ENVIRONMENT, MOST_VALUES, STATE_INPUT, Feature
from vla_training.import_lerobot.folder import field
from vla_training.import_lerobot.statistics import Line, Processing

__all__ = ["read_action", "read_observed", "renamed"]

_OBSERVATION = "observation."
_ENVIRONMENT_KEY = _OBSERVATION + ENVIRONMENT
_IMAGE, _STATE, _ENVIRONMENT, _ACTION = "VISUAL", "STATE", "ENV", "ACTION"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def read_observed(
    where: Path, config: Mapping[str, Any], processing: Processing, **sizes: Sequence[int]
) -> dict[str, Feature]:
    """The inputs of the network in LeRobot's order: state, state of the environment, images.

    Args:
        where: the config's file.
        config: its table.
        processing: of the policy.
        sizes: what images are resized and cropped to.

    Raises:
        PolicyError: a feature is damaged, or its key is none that becomes the name of an input.
    """
    found: dict[str, Feature] = {}
    for key, options in field(where, config, "input_features", dict).items():
        kind, shape = _feature(where, key, options)
        name = key.removeprefix(_OBSERVATION)
        if (kind, key) in ((_STATE, STATE), (_ENVIRONMENT, _ENVIRONMENT_KEY)):
            found[name] = _made(where, key, shape, processing.inputs.line(key, kind, shape[0]))
        elif kind == _IMAGE and _NAME.fullmatch(name) and name not in (STATE_INPUT, ENVIRONMENT):
            found[name] = _made(where, key, shape, processing.inputs.line(key, kind, shape[0]), **sizes)
        elif kind in (_IMAGE, _ENVIRONMENT):
            raise PolicyError(f"{where}: the feature '{key[:100]}' of type {kind} is none that can be imported.")
    vectors = {name: found.pop(name) for name in (STATE_INPUT, ENVIRONMENT) if name in found}
    return renamed(vectors | found, processing.renames)


def read_action(where: Path, config: Mapping[str, Any], processing: Processing) -> Feature:
    """What the policy does.

    Raises:
        PolicyError: it is missing or damaged.
    """
    features = field(where, config, "output_features", dict)
    kind, shape = _feature(where, ACTION, features.get(ACTION))
    if kind != _ACTION or len(shape) != 1:
        raise PolicyError(f"{where}: '{ACTION}' is {kind} of shape {shape}; it must be an {_ACTION} of one axis.")
    return _made(where, ACTION, shape, processing.actions.line(ACTION, kind, shape[0], restores=True))


def renamed(features: Mapping[str, Feature], renames: Mapping[str, str]) -> dict[str, Feature]:
    """Features that are observed under other keys.

    Args:
        renames: of an observed key the policy's; those of other policies are left alone.

    Raises:
        PolicyError: two observed keys become one of the policy.
    """
    observed = {wanted: given for given, wanted in renames.items()}
    if len(observed) != len(renames):
        raise PolicyError(f"Two observed keys become one of the policy: {str(dict(renames))[:200]}.")
    return {name: replace(feature, key=observed.get(feature.key, feature.key)) for name, feature in features.items()}


def _feature(where: Path, key: str, options: Any) -> tuple[str, list[int]]:
    kind, shape = (options.get("type"), options.get("shape")) if isinstance(options, dict) else (None, None)
    sizes = shape if isinstance(shape, list) else []
    if not isinstance(kind, str) or not sizes or not all(type(n) is int and 1 <= n <= MOST_VALUES for n in sizes):
        raise PolicyError(
            f"{where}: the feature '{key[:100]}' is {str(options)[:80]!r}; it needs a type, and a shape of sizes from "
            f"1 to {MOST_VALUES}."
        )
    return kind, sizes


def _made(where: Path, key: str, shape: list[int], line: Line, **sizes: Sequence[int]) -> Feature:
    offset, scale = line
    try:
        return Feature(key, tuple(shape), tuple(offset), tuple(scale), **{name: tuple(v) for name, v in sizes.items()})
    except PolicyError as error:
        raise PolicyError(f"{where}: {error}") from error
