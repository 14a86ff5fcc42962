"""How a policy is stored: a folder `config.json` (its name and options) + `model.safetensors`.

LeRobot's `pretrained_model` folders are like that. The robot needs `config.json` alone, for the preprocessor: the
weights are in the program.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_isa.documents import read_json
from vla_isa.errors import OutputError
from vla_models.errors import PolicyError
from vla_models.policy import Preprocessor
from vla_models.registry import PolicySpec, find_saved
from vla_models.saved_files import CONFIG_FILE, WEIGHTS_FILE, saved_folder

if TYPE_CHECKING:
    import torch

__all__ = [
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "load_config",
    "load_policy",
    "load_preprocessor",
    "save_policy",
    "save_whole_policy",
    "saved_folder",
    "whole_folder",
]


def save_policy(folder: Path, name: str, config: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Write a policy into an existing folder; the caller makes that whole-or-nothing."""
    from safetensors.torch import save_file

    stored = {"type": name, **dataclasses.asdict(config)}
    (folder / CONFIG_FILE).write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / WEIGHTS_FILE)


def save_whole_policy(out: Path, name: str, config: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Write a policy into a new folder, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_folder(out) as folder:
        save_policy(folder, name, config, weights)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; it becomes `out` if the block ends without an error.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    from safetensors import SafetensorError

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=out.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            os.rename(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"output folder '{out}' cannot be written: {error.strerror}") from error
    except SafetensorError as error:  # its writer's errors are no OSError
        raise OutputError(f"output folder '{out}' cannot be written: {error}") from error


def load_config(folder: Path) -> tuple[PolicySpec, Any]:
    """Which policy a saved one is, and its config.

    Raises:
        PolicyError: the file is missing or damaged.
    """
    try:
        options = read_json(folder / CONFIG_FILE)
        if "input_features" in options:
            raise PolicyError(f"it is LeRobot's; 'vla-train import-lerobot {folder} -o OUT' makes a policy of it.")
        spec = find_saved(str(options.pop("type")))
        return spec, spec.configured(options)
    except PolicyError as error:
        raise PolicyError(f"{folder / CONFIG_FILE}: {error}") from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise PolicyError(f"{folder} is not a saved policy: {error}.") from error


def load_policy(folder: Path) -> torch.nn.Module:
    """Load a saved policy, in evaluation mode.

    Raises:
        PolicyError: a file is missing or damaged, or the weights do not fit the config.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    spec, config = load_config(folder)
    policy = spec.make(config)
    try:
        policy.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise PolicyError(f"{folder} is not a saved policy: {error}.") from error
    return policy.eval()


def load_preprocessor(folder: Path) -> Preprocessor:
    """The preprocessor of a saved policy; needs neither torch nor its weights."""
    spec, config = load_config(folder)
    return spec.preprocessor(config)
