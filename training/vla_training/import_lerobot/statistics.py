"""How LeRobot normalizes what a policy observes and does: statistics and a mode for each kind of feature.

From 0.4 on both are in the steps of the processors; before, the statistics were buffers among the weights. Every mode
is an offset and a scale. Source: huggingface/lerobot, `processor/normalize_processor.py`, and `policies/normalize.py`
of the versions before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.errors import PolicyError
from vla_training.import_lerobot.folder import Step, Tensors, field, read_steps

__all__ = ["Line", "Normalization", "Processing", "read_processing"]

PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor.json", "policy_postprocessor.json"
_RENAMES, _NORMALIZES, _RESTORES = "rename_observations_processor", "normalizer_processor", "unnormalizer_processor"
_MOVES = ("to_batch_processor", "device_processor")  # change no value
_IDENTITY, _MEAN_STD = "IDENTITY", "MEAN_STD"
_ENDS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}  # become -1 and 1
_OLD_INPUTS, _OLD_ACTIONS = "normalize_inputs.buffer_", "unnormalize_outputs.buffer_"
_EPS = 1e-8

Doubles = npt.NDArray[np.float64]
Line = tuple[list[float], list[float]]  # offset and scale


@dataclass(frozen=True)
class Normalization:
    """Statistics by key, modes by kind of feature, what keeps a division from one by 0, and the kinds by key.

    Before 0.4 the kinds were those of config.json alone: None.
    """

    where: Path
    statistics: Mapping[str, Mapping[str, Doubles]]
    modes: Mapping[str, Any]
    eps: float = _EPS
    kinds: Mapping[str, Any] | None = None

    def line(self, key: str, kind: str, count: int, *, restores: bool = False) -> Line:
        """Offset and scale of a feature, `count` numbers each: it becomes (value - offset) / scale.

        Args:
            key: LeRobot's name of it.
            kind: its type, such as VISUAL.
            count: values of a vector, or channels of an image.
            restores: whether a network's output becomes an action, not the other way.

        Raises:
            PolicyError: a mode that is not known, statistics that are missing, of another size, or no numbers, or a
                feature of another kind.
        """
        if self.kinds is not None and self.kinds.get(key) != kind:
            raise PolicyError(f"{self.where}: '{key}' is {self.kinds.get(key)}; in config.json it is {kind}.")
        mode = self.modes.get(kind, _IDENTITY)
        if mode == _IDENTITY:
            return [0.0] * count, [1.0] * count
        if not isinstance(mode, str) or mode not in (_MEAN_STD, *_ENDS):
            known = ", ".join((_IDENTITY, _MEAN_STD, *_ENDS))
            raise PolicyError(f"{self.where}: '{key}' is normalized by {str(mode)[:40]!r}; known are {known}.")
        if key not in self.statistics:  # LeRobot leaves such a feature as it is
            raise PolicyError(f"{self.where} has no statistics of '{key}'; copy all files of the policy.")
        if mode == _MEAN_STD:
            mean, std = (self._of(key, name, count) for name in ("mean", "std"))
            offset, scale = mean, std if restores else std + self.eps
        else:
            low, high = (self._of(key, name, count) for name in _ENDS[mode])
            half = np.where(high == low, self.eps, high - low) / 2
            offset, scale = low + half, half
        return offset.tolist(), scale.tolist()

    def _of(self, key: str, name: str, count: int) -> Doubles:
        found = self.statistics[key].get(name)
        if found is None or found.size != count or not np.isfinite(found).all():
            what = "missing" if found is None else f"{str(found.ravel().tolist())[:80]}"
            raise PolicyError(f"{self.where}: '{name}' of '{key}' is {what}; it must be {count} finite numbers.")
        return found.reshape(-1)


@dataclass(frozen=True)
class Processing:
    """How observations are normalized, how actions are restored, and which observed key becomes which of the policy."""

    inputs: Normalization
    actions: Normalization
    renames: Mapping[str, str]


def read_processing(folder: Path, config: Mapping[str, Any], weights: Tensors) -> Processing:
    """Of the processors beside the weights, or where there are none of the buffers among them.

    Raises:
        PolicyError: there are neither, or they are damaged, or do more than normalize and rename.
    """
    if (folder / PREPROCESSOR).exists():
        before = _known_steps(folder / PREPROCESSOR, (_RENAMES, _NORMALIZES))
        behind = _known_steps(folder / POSTPROCESSOR, (_RESTORES,))
        renames = before[_RENAMES].options.get("rename_map", {}) if _RENAMES in before else {}
        if not isinstance(renames, dict) or not all(isinstance(name, str) for name in renames.values()):
            raise PolicyError(
                f"{folder / PREPROCESSOR}: 'rename_map' is {str(renames)[:80]!r}; it must be a table of names."
            )
        inputs = _of_step(folder / PREPROCESSOR, before.get(_NORMALIZES))
        return Processing(inputs, _of_step(folder / POSTPROCESSOR, behind.get(_RESTORES)), renames)
    where = folder / "config.json"
    modes = field(where, config, "normalization_mapping", dict)
    found = [Normalization(where, _buffers(config, weights, prefix), modes) for prefix in (_OLD_INPUTS, _OLD_ACTIONS)]
    if not any(normalization.statistics for normalization in found) and set(modes.values()) - {_IDENTITY}:
        raise PolicyError(
            f"{folder} has neither {PREPROCESSOR} nor statistics among its weights; copy all files of the policy."
        )
    inputs, actions = found
    return Processing(inputs, actions, {})


def _known_steps(path: Path, read: tuple[str, ...]) -> dict[str, Step]:
    """The steps by name, without those that change no value.

    Raises:
        PolicyError: there are others than these, or one twice.
    """
    found: dict[str, Step] = {}
    for step in read_steps(path):
        if step.name in _MOVES:
            continue
        if step.name not in read or step.name in found:
            raise PolicyError(
                f"{path}: step '{step.name[:80]}' {'is there twice' if step.name in found else 'is not supported'}; "
                f"a policy is imported whose steps are {', '.join((*read, *_MOVES))}."
            )
        found[step.name] = step
    return found


def _of_step(path: Path, step: Step | None) -> Normalization:
    if step is None:
        return Normalization(path, {}, {})
    if step.options.get("normalize_observation_keys") is not None:
        raise PolicyError(
            f"{path}: 'normalize_observation_keys' is not supported; leave it out and save the policy again."
        )
    statistics: dict[str, dict[str, Doubles]] = {}
    for name, tensor in step.tensors.items():
        key, _, statistic = name.rpartition(".")
        statistics.setdefault(key, {})[statistic] = tensor.double().numpy()
    modes, eps = field(path, step.options, "norm_map", dict), float(field(path, step.options, "eps", float))
    features = field(path, step.options, "features", dict)
    kinds = {key: feature.get("type") for key, feature in features.items() if isinstance(feature, dict)}
    return Normalization(path, statistics, modes, eps, kinds)


def _buffers(config: Mapping[str, Any], weights: Tensors, prefix: str) -> dict[str, dict[str, Doubles]]:
    """Statistics of the features of a config, whose dots are underscores in the names of buffers."""
    keys = [key for part in ("input_features", "output_features") for key in config.get(part) or ()]
    found: dict[str, dict[str, Doubles]] = {}
    for name, tensor in weights.items():
        stem, _, statistic = name.removeprefix(prefix).rpartition(".")
        for key in keys:
            if name.startswith(prefix) and stem == key.replace(".", "_"):
                found.setdefault(key, {})[statistic] = tensor.double().numpy()
    return found
