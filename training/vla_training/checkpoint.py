"""Checkpoints: whole or absent, resumable to the bit, and never pickled.

    checkpoints/001500/pretrained_model/{config.json, model.safetensors}
                      /training_state/{optimizer.safetensors, random.safetensors, state.json}
    checkpoints/last -> 001500

The layout is LeRobot's. `state.json` holds the step (all of the sampler's state), the optimizer's scalars
and a digest of the training config.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vla_models.errors import PolicyError
from vla_models.policy import load_policy, save_policy
from vla_training.errors import CheckpointError

__all__ = ["last_checkpoint", "pretrained_folder", "restore", "save_checkpoint"]


def save_checkpoint(
    folder: Path,
    step: int,
    policy_name: str,
    policy: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    config_digest: str,
    keep: int,
) -> Path:
    """Write `folder/<step>`, point `last` at it and delete all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    target = folder / f"{step:06d}"
    try:
        (temporary / "pretrained_model").mkdir()
        save_policy(temporary / "pretrained_model", policy_name, policy)
        _save_training_state(temporary / "training_state", step, optimizer, config_digest)
        os.chmod(temporary, 0o755)
        if target.exists():  # left by a run that stopped between this rename and the link's
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _link_last(folder, target.name)
    for old in sorted(path for path in folder.iterdir() if path.name.isdecimal())[:-keep]:
        shutil.rmtree(old)
    return target


def _save_training_state(folder: Path, step: int, optimizer: torch.optim.Optimizer, digest: str) -> None:
    folder.mkdir()
    stored = optimizer.state_dict()
    tensors = {
        f"{index}.{key}": value.contiguous()
        for index, entries in stored["state"].items()
        for key, value in entries.items()
    }
    save_file(tensors, folder / "optimizer.safetensors")
    save_file({"torch": torch.get_rng_state()}, folder / "random.safetensors")
    state = {"step": step, "param_groups": stored["param_groups"], "config_digest": digest}
    (folder / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")


def _link_last(folder: Path, name: str) -> None:
    link = folder / ".last-new"
    link.unlink(missing_ok=True)
    link.symlink_to(name)
    os.replace(link, folder / "last")


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that `last` points at, or None if there is none yet."""
    link = folder / "last"
    return link.resolve() if (link / "training_state" / "state.json").is_file() else None


def pretrained_folder(run: Path) -> Path:
    """The newest saved policy of a run (or `run` itself, if it is a saved policy).

    Raises:
        CheckpointError: there is none.
    """
    for folder in (run, run / "pretrained_model", run / "checkpoints" / "last" / "pretrained_model"):
        if (folder / "model.safetensors").is_file():
            return folder
    raise CheckpointError(f"{run} holds no saved policy; train one with 'vla-train train --out {run}'.")


def restore(checkpoint: Path, policy: torch.nn.Module, optimizer: torch.optim.Optimizer, config_digest: str) -> int:
    """Load weights, optimizer and random state in place; return the number of steps already done.

    Raises:
        CheckpointError: a file is damaged, or the checkpoint was made with another config or data set.
    """
    state_folder = checkpoint / "training_state"
    try:
        state = json.loads((state_folder / "state.json").read_text(encoding="utf-8"))
        if state["config_digest"] != config_digest:
            raise CheckpointError(
                f"{checkpoint} was made with another training config or data set; choose another --out."
            )
        policy.load_state_dict(load_policy(checkpoint / "pretrained_model").state_dict())
        tensors = load_file(state_folder / "optimizer.safetensors")
        entries: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            entries.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": entries, "param_groups": state["param_groups"]})
        torch.set_rng_state(load_file(state_folder / "random.safetensors")["torch"])
        return int(state["step"])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, PolicyError) as error:
        raise CheckpointError(f"{checkpoint} cannot be resumed: {error}.") from error
