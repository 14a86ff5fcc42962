"""Checkpoints: whole or absent, resumable to the bit, and never pickled.

    checkpoints/001500/pretrained_model/{config.json, model.safetensors}
                      /training_state/{optimizer.safetensors, state.json}       and, with averaged weights,
                                      {model.safetensors}                       those that are trained
    checkpoints/last -> 001500
    checkpoints/best -> 001000                                                  the best score so far

The layout is LeRobot's. `pretrained_model` is the policy to use: the averaged weights, where there are any.
`state.json` holds the step, which is all the state of sampler, schedule and generators, the optimizer's scalars, the
gradient scaler's, the best score, the run (its config, a digest of its data) and digests of the other files: what was
cut short, changed or mixed with another checkpoint is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vla_isa.documents import read_json
from vla_isa.errors import OutputError
from vla_models.errors import PolicyError
from vla_models.registry import find_policy
from vla_models.saved import WEIGHTS_FILE, load_policy, save_policy, saved_folder
from vla_training.config.run import TrainConfig
from vla_training.errors import CheckpointError, TrainConfigError
from vla_training.objectives.registry import find_objective

__all__ = [
    "Best",
    "TrainingState",
    "differences",
    "last_checkpoint",
    "learnt_from",
    "pretrained_folder",
    "restore",
    "save_checkpoint",
]

_READING = (OSError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError)
_REFUSED = (PolicyError, TrainConfigError)

_OPTIMIZER, _STATE = "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class Best:
    """The best score of a run so far, and the step whose checkpoint has it."""

    step: int
    score: float


@dataclass
class TrainingState:
    """What changes in a run and is stored; `config` and `data` say of which run."""

    name: str  # of the policy
    policy: torch.nn.Module
    optimizer: Any  # torch's, or accelerate's around it
    averaged: torch.optim.swa_utils.AveragedModel | None
    scaler: Any  # of fp16's gradients, or None
    config: Mapping[str, Any]  # of the run, as JSON
    data: str  # digest of what it learns from
    best: Best | None = None

    @property
    def usable(self) -> torch.nn.Module:
        """The policy to evaluate and to save: the averaged one, where there is one."""
        return self.policy if self.averaged is None else self.averaged.module


def save_checkpoint(folder: Path, step: int, state: TrainingState, keep: int) -> None:
    """Write `folder/<step>`, point `last` (and `best`) at it and delete all but the newest `keep` and the best.

    Raises:
        OutputError, OSError: it cannot be written; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    target = folder / f"{step:06d}"
    try:
        (temporary / "pretrained_model").mkdir()
        save_policy(temporary / "pretrained_model", state.name, state.policy.config, state.usable.state_dict())
        _save_training_state(temporary / "training_state", step, state)
        os.chmod(temporary, 0o755)
        if target.exists():  # left by a run that stopped between this rename and the link's
            shutil.rmtree(target)
        os.replace(temporary, target)
    except SafetensorError as error:  # its writer's errors are no OSError
        raise OutputError(f"output '{target}' cannot be written: {error}; choose another place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _link(folder, "last", target.name)
    best = f"{state.best.step:06d}" if state.best else ""
    if (folder / best).is_dir() and best:
        _link(folder, "best", best)
    steps = sorted((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    for old in steps[:-keep]:
        if old.name != best:
            shutil.rmtree(old)


def _save_training_state(folder: Path, step: int, state: TrainingState) -> None:
    folder.mkdir()
    stored = state.optimizer.state_dict()
    tensors = {
        f"{index}.{key}": value.contiguous()
        for index, entries in stored["state"].items()
        for key, value in entries.items()
    }
    save_file(tensors, folder / _OPTIMIZER)
    if state.averaged is not None:
        save_file({k: v.contiguous() for k, v in state.policy.state_dict().items()}, folder / WEIGHTS_FILE)
    values = {
        "step": step,
        "param_groups": stored["param_groups"],
        "scaler": state.scaler.state_dict() if state.scaler else None,
        "best": {"step": state.best.step, "score": state.best.score} if state.best else None,
        "config": state.config,
        "data": state.data,
        "files": {str(path.relative_to(folder.parent)): _digest(path) for path in _files(folder.parent)},
    }
    (folder / _STATE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _files(checkpoint: Path) -> Iterator[Path]:
    """All files of a checkpoint but `state.json`, which names them."""
    for part in ("pretrained_model", "training_state"):
        yield from sorted(path for path in (checkpoint / part).glob("*") if path.name != _STATE)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _link(folder: Path, name: str, target: str) -> None:
    link = folder / f".{name}-new"
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    os.replace(link, folder / name)


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that `last` points at, or None if there is none yet."""
    link = folder / "last"
    return link.resolve() if os.path.lexists(link) else None


def pretrained_folder(run: Path) -> Path:
    """The newest saved policy of a run (or `run` itself, if it is a saved policy or a checkpoint).

    Raises:
        CheckpointError: there is none.
    """
    folder = saved_folder(run)
    if (folder / WEIGHTS_FILE).is_file():
        return folder
    raise CheckpointError(f"{run} holds no saved policy; train one with 'vla-train train --out {run}'.")


def restore(checkpoint: Path, state: TrainingState) -> int:
    """Load weights and optimizer in place; return the number of steps already done.

    Raises:
        CheckpointError: a file is damaged, or the checkpoint was made with another config or data set.
    """
    folder = checkpoint / "training_state"
    try:
        stored = read_json(folder / _STATE)
        _check_run(checkpoint, stored["config"], stored["data"], state)
        _check_files(checkpoint, stored["files"])
        saved: Any = load_policy(checkpoint / "pretrained_model")
        _check_options(saved.config, state.policy.config)
        state.usable.load_state_dict(saved.state_dict())
        if state.averaged is not None:
            state.policy.load_state_dict(load_file(folder / WEIGHTS_FILE))
            state.averaged.n_averaged.fill_(int(stored["step"]))
        entries: dict[int, dict[str, Any]] = {}
        for name, value in load_file(folder / _OPTIMIZER).items():
            index, _, key = name.partition(".")
            entries.setdefault(int(index), {})[key] = value
        state.optimizer.load_state_dict({"state": entries, "param_groups": stored["param_groups"]})
        if state.scaler is not None:
            state.scaler.load_state_dict(stored["scaler"])
        best = stored["best"]
        state.best = Best(int(best["step"]), float(best["score"])) if best else None
        if f"{stored['step']:06d}" != checkpoint.name:
            raise ValueError(f"its step is {stored['step']}, and its folder is called '{checkpoint.name}'")
        return int(stored["step"])
    except KeyError as error:
        raise _damaged(checkpoint, f"{_STATE} has no {error}") from error
    except (*_READING, *_REFUSED) as error:
        raise _damaged(checkpoint, str(error).rstrip(".")) from error


def _damaged(checkpoint: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint} cannot be resumed: {why}; point 'last' at an older one, or choose another --out."
    )


def _check_files(checkpoint: Path, digests: Mapping[str, str]) -> None:
    """Refuse files that are not those that were written: weights and optimizer belong together."""
    found = {str(path.relative_to(checkpoint)): _digest(path) for path in _files(checkpoint)}
    for name in {**digests, **found}:
        if name not in found:
            raise ValueError(f"{name} is missing")
        if found[name] != digests.get(name):
            raise ValueError(f"{name} is not as it was written: it is damaged, or of another checkpoint")


def _check_run(checkpoint: Path, config: Mapping[str, Any], data: str, state: TrainingState) -> None:
    """Refuse a checkpoint of another run; where it does not know a key yet, it had its default.

    Raises:
        CheckpointError: says what differs.
    """
    kinds = {
        "policy_options": find_policy(str(config["policy"])).config,
        "objective_options": find_objective(str(config["objective"])).make,
    }
    known = {key: {**_defaults(kind), **config[key]} for key, kind in kinds.items()}
    later = {name: value for name, value in _defaults(TrainConfig).items() if name not in config}
    changed = differences({**config, **known, **later}, state.config)
    if data != state.data:
        changed.append("the data set is another one")
    if changed:
        raise CheckpointError(
            f"{checkpoint} was made with another training config or data set: {'; '.join(changed)}. "
            "Train with the same ones, or choose another --out."
        )


def learnt_from(saved: Path) -> str:
    """The digest of the data set that a run's saved policy learnt from; empty where it is of no run.

    Args:
        saved: the folder `pretrained_model` of a checkpoint, or any saved policy.

    Raises:
        CheckpointError: what the run wrote beside it cannot be read.
    """
    state = saved.parent / "training_state" / _STATE
    if not state.is_file():
        return ""
    try:
        return str(read_json(state)["data"])
    except (*_READING, LookupError) as error:
        raise CheckpointError(f"{state} cannot be read, or does not say of which data: {error}") from error


def _check_options(saved: Any, now: Any) -> None:
    """Refuse options that a policy takes from elsewhere (data, embedded sentences) and that have changed."""
    there, here = (json.loads(json.dumps(dataclasses.asdict(options))) for options in (saved, now))
    if changed := differences(there, here):
        raise ValueError(f"the policy's options were others: {'; '.join(changed)}"[:500])


def _defaults(kind: Any) -> dict[str, Any]:
    """Of the fields of a dataclass that have one, as JSON has them: keys that came later had these."""
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    plain: dict[str, Any] = json.loads(json.dumps({n: v for n, v in fields.items() if v is not dataclasses.MISSING}))
    return plain


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not equal in two nested tables, in words."""
    there, here = _flat(before), _flat(now)
    return [
        f"'{key}' is {there.get(key, 'not there')}, now {here.get(key, 'not there')}"
        for key in {**there, **here}
        if there.get(key) != here.get(key)
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as `policy_options.hidden`."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
