"""The registry of policies, what each must offer, and how one is saved and loaded.

A saved policy is a folder `config.json` (policy name and options) + `model.safetensors`, as LeRobot's
`pretrained_model` folders are. The robot side needs neither: it has the program image and `preprocess.py`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vla_isa.errors import did_you_mean
from vla_models.babyai_cnn.config import BabyAICnnConfig
from vla_models.babyai_cnn.model import BabyAICnn
from vla_models.errors import PolicyError

__all__ = ["POLICIES", "Policy", "PolicySpec", "find_policy", "load_policy", "make_policy", "save_policy"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class Policy(Protocol):
    """What the exporter, the trainer and the evaluation need from a policy (an `nn.Module`)."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of `forward`; they become the ONNX input names."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""

    def example_inputs(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random inputs of the right shapes and ranges."""

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The whole network; everything in it runs on the device."""


@dataclass(frozen=True)
class PolicySpec:
    """One registered policy: its name, its frozen config dataclass and how to build the module from it."""

    name: str
    config: Callable[..., Any]
    build: Callable[[Any], torch.nn.Module]


POLICIES: tuple[PolicySpec, ...] = (PolicySpec("babyai_cnn", BabyAICnnConfig, BabyAICnn),)


def find_policy(name: str) -> PolicySpec:
    """The registered policy called `name`.

    Raises:
        PolicyError: none is.
    """
    for spec in POLICIES:
        if spec.name == name:
            return spec
    names = [spec.name for spec in POLICIES]
    raise PolicyError(f"Unknown policy '{name}'." + did_you_mean(name, names, f"Known: {names}."))


def make_policy(name: str, options: Mapping[str, Any]) -> torch.nn.Module:
    """A new policy with random weights (from torch's current generator)."""
    spec = find_policy(name)
    try:
        config = spec.config(**options)
    except TypeError as error:
        raise PolicyError(f"Policy '{name}': {error}.") from error
    return spec.build(config)


def save_policy(folder: Path, name: str, policy: torch.nn.Module) -> None:
    """Write the policy into an existing folder; the caller makes that whole-or-nothing (checkpoint.py)."""
    config = {"type": name, **dataclasses.asdict(policy.config)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({key: value.contiguous() for key, value in policy.state_dict().items()}, folder / WEIGHTS_FILE)


def load_policy(folder: Path) -> torch.nn.Module:
    """Load a saved policy, in evaluation mode.

    Raises:
        PolicyError: a file is missing or damaged, or the weights do not fit the config.
    """
    try:
        options = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        policy = make_policy(str(options.pop("type")), options)
        policy.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        raise PolicyError(f"{folder} is not a saved policy: {error}.") from error
    return policy.eval()
