"""Training configurations: one TOML file each, every key known, defaults in the dataclass below."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_isa.errors import did_you_mean
from vla_training.errors import TrainConfigError

__all__ = ["CONFIG_FOLDER", "TrainConfig", "config_names", "load_config"]

CONFIG_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Equal configs on the same data and thread count give equal weights, bit for bit."""

    level: str  # BabyAI level, without "BabyAI-" and "-v0"
    episodes: int  # demonstrations to collect for it, held-out ones included
    policy: str = "babyai_cnn"
    policy_options: Mapping[str, Any] = field(default_factory=dict)
    collect_seed: int = 0
    seed: int = 0  # initial weights and order of the frames
    steps: int = 2000  # optimizer steps
    batch_size: int = 64
    learning_rate: float = 1e-3  # peak; linear warm-up, then half a cosine down to zero
    warmup_steps: int = 50
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    log_every: int = 20  # steps between lines in the log
    validate_every: int = 500  # steps between passes over the held-out episodes
    save_every: int = 500  # steps between checkpoints
    keep_checkpoints: int = 2
    threads: int = 2  # torch threads; part of the config because sums depend on it

    def __post_init__(self) -> None:
        positive = ("episodes", "steps", "batch_size", "log_every", "validate_every", "save_every", "threads")
        for name in (*positive, "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be at least 1.")
        for name in ("collect_seed", "seed", "warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must not be negative.")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be above 0.")

    def to_json(self) -> dict[str, Any]:
        """All keys, as stored beside checkpoints and hashed by the demo."""
        return dataclasses.asdict(self)


def config_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.toml"))


def load_config(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Read a packaged configuration by name, or any TOML file by path, with some keys replaced.

    Raises:
        TrainConfigError: no such configuration, not TOML, or a key is unknown, missing or of the wrong type.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = CONFIG_FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        hint = did_you_mean(name_or_path, config_names(), f"Known: {', '.join(config_names())}.")
        raise TrainConfigError(f"No training configuration '{name_or_path}'.{hint}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainConfigError(f"{path}: not TOML: {error}.") from error
    return _from_values({**values, **(overrides or {})}, path.name)


def _from_values(values: Mapping[str, Any], where: str) -> TrainConfig:
    fields = {f.name: f for f in dataclasses.fields(TrainConfig)}
    kinds: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "Mapping[str, Any]": (dict,),
    }
    checked: dict[str, Any] = {}
    for key, given in values.items():
        value: Any = given
        if key not in fields:
            hint = did_you_mean(key, fields, f"Known: {', '.join(fields)}.")
            raise TrainConfigError(f"{where}: unknown key '{key}'.{hint}")
        kind = str(fields[key].type)
        right = isinstance(value, kinds[kind]) and not isinstance(value, bool)
        if not right:
            raise TrainConfigError(f"{where}: '{key}' is {value!r}; it must be of type {kind}.")
        checked[key] = float(value) if kind == "float" else value
    missing = {"level", "episodes"} - checked.keys()
    if missing:
        raise TrainConfigError(f"{where}: {', '.join(sorted(missing))} must be given.")
    return TrainConfig(**checked)
