"""`vla-train import-lerobot`: the folder of a policy that LeRobot saved -> a saved policy of ours, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vla_isa.errors import OutputError
from vla_models.errors import PolicyError
from vla_models.registry import find_saved
from vla_models.saved import CONFIG_FILE, WEIGHTS_FILE, save_whole_policy
from vla_training.import_lerobot.act import act_options, act_weights
from vla_training.import_lerobot.diffusion import diffusion_options, diffusion_weights
from vla_training.import_lerobot.folder import Tensors, field, read_table, read_tensors
from vla_training.import_lerobot.observed import renamed
from vla_training.import_lerobot.statistics import Processing, read_processing

__all__ = ["Imported", "import_policy"]


@dataclass(frozen=True)
class _Kind:
    """A type of LeRobot's policies: what it is here, and how its config and weights become ours."""

    policy: str
    options: Callable[[Path, Mapping[str, Any], Processing], dict[str, Any]]
    weights: Callable[[Tensors, Any], dict[str, torch.Tensor]]


_KINDS = {
    "act": _Kind("lerobot_act", act_options, act_weights),
    "diffusion": _Kind("lerobot_diffusion", diffusion_options, diffusion_weights),
}


@dataclass(frozen=True)
class Imported:
    """What was imported: LeRobot's type, the name of the policy here, its config, and its number of weights."""

    kind: str
    policy: str
    config: Any
    weights: int


def import_policy(
    source: Path, out: Path, renames: Mapping[str, str] | None = None, sampler: Mapping[str, Any] | None = None
) -> Imported:
    """Import a policy.

    Args:
        source: the folder that LeRobot saved.
        out: folder to write; it must not exist.
        renames: of an observed key the policy's, where observations name things otherwise.
        sampler: options of `lerobot_diffusion` in the place of the policy's own, such as `sampler_steps`.

    Raises:
        PolicyError: a file is missing, damaged, or of a policy that is not supported; says which and why.
        OutputError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise OutputError(f"output folder '{out}' exists; choose another one")
    where = source / CONFIG_FILE
    table = read_table(where)
    kind = field(where, table, "type", str)
    if kind not in _KINDS:
        raise PolicyError(f"{where}: the policy's type is '{kind[:80]}'; {' and '.join(_KINDS)} are imported.")
    if table.get("use_peft"):
        raise PolicyError(f"{where}: 'use_peft' is on; merge the adapter into the policy, and save it again.")
    weights = read_tensors(source / WEIGHTS_FILE)
    options = _KINDS[kind].options(where, table, read_processing(source, table, weights))
    if sampler and "sampler" not in options:
        raise PolicyError(f"{where}: a policy of type '{kind}' has no sampler; leave out --sampler and --steps.")
    options |= sampler or {}
    seen = _seen_as(options["inputs"], renames or {})
    options |= {"inputs": {name: asdict(f) for name, f in seen.items()}, "action": asdict(options["action"])}
    spec = find_saved(_KINDS[kind].policy)
    try:
        config = spec.configured(options)
        ours = _KINDS[kind].weights(weights, config)
        with torch.device("meta"):  # sizes alone: what the config asks for may be any number
            spec.make(config).load_state_dict(ours, assign=True)
    except PolicyError as error:
        raise PolicyError(f"{source}: {error}") from error
    except RuntimeError as error:  # a headline, and a line for each name or size that is wrong
        wrong = " ".join(str(error).split("\n\t")[1:4])
        raise PolicyError(f"{source}: the weights are not those of config.json: {wrong[:400]}") from error
    for name, tensor in ours.items():
        if not torch.isfinite(tensor).all():
            raise PolicyError(f"{source}: the weights of '{name}' are not all finite numbers.")
    save_whole_policy(out, spec.name, config, ours)
    return Imported(kind, spec.name, config, sum(tensor.numel() for tensor in ours.values()))


def _seen_as(features: Mapping[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    """Features that are observed as the user says."""
    keys = [feature.key for feature in features.values()]
    for wanted in renames.values():
        if wanted not in keys:
            raise PolicyError(f"--rename: the policy observes no '{wanted}'; it observes {', '.join(keys)}.")
    return renamed(features, renames)
