"""As much of LeRobot as a policy that is not its own is written against, where LeRobot is not installed.

It reads a folder's config.json into the class that is registered, and its weights into a policy of it.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["stand_in"]


class FeatureType(enum.Enum):
    STATE, VISUAL, ENV, ACTION = "STATE", "VISUAL", "ENV", "ACTION"


@dataclasses.dataclass
class PolicyFeature:
    type: FeatureType
    shape: tuple[int, ...]


@dataclasses.dataclass
class PreTrainedConfig:
    n_obs_steps: int = 1
    input_features: dict[str, PolicyFeature] | None = None
    output_features: dict[str, PolicyFeature] | None = None
    device: str | None = None
    push_to_hub: bool = True

    known = {}  # noqa: RUF012  (no annotation: it is no field)

    @classmethod
    def register_subclass(cls, name: str) -> Any:
        return lambda made: cls.known.setdefault(name, made)

    @classmethod
    def from_pretrained(cls, folder: Path) -> Any:
        table = json.loads((folder / "config.json").read_text())
        for part in ("input_features", "output_features"):
            features = table[part].items()
            table[part] = {k: PolicyFeature(FeatureType(v["type"]), tuple(v["shape"])) for k, v in features}
        return cls.known[table.pop("type")](**table)

    @property
    def action_feature(self) -> PolicyFeature | None:
        return (self.output_features or {}).get("action")


def stand_in() -> dict[str, ModuleType]:
    """The modules by name."""
    import torch
    from safetensors.torch import load_model

    class PreTrainedPolicy(torch.nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.config = config

        @classmethod
        def from_pretrained(cls, folder: Path) -> Any:
            made = cls(PreTrainedConfig.from_pretrained(folder))
            return cls._load_as_safetensor(made, str(folder / "model.safetensors"), "cpu", False).eval()

        @classmethod
        def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
            load_model(model, model_file, strict=strict, device=map_location)
            return model

    made = {name: ModuleType(name) for name in ("lerobot", "lerobot.configs", "lerobot.policies")}
    for name, parts in (
        ("lerobot.configs.types", (FeatureType,)),
        ("lerobot.configs.policies", (PreTrainedConfig,)),
        ("lerobot.policies.pretrained", (PreTrainedPolicy,)),
    ):
        made[name] = ModuleType(name)
        for part in parts:
            setattr(made[name], part.__name__, part)
    return made
