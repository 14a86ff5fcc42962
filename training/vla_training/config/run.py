"""One training run as a dataclass: every key of its TOML file, with type, meaning and default.

Not here: reading one (`load.py`).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from vla_models.registry import QUANTIZED
from vla_training.errors import TrainConfigError

__all__ = ["TrainConfig"]

P = TypeVar("P")
O = TypeVar("O")  # noqa: E741


@dataclass(frozen=True)
class TrainConfig(Generic[P, O]):
    """One training run. Equal configs on the same data and thread count give equal weights, bit for bit."""

    world: str  # that the policy acts in
    level: str  # of the world, for example GoToObj
    episodes: int  # demonstrations to collect for it, held-out ones included
    policy: str  # name in the registry of policies
    objective: str  # name in the registry of objectives
    policy_options: P  # the policy's own config
    objective_options: O  # the objective's own options
    init_from: str = ""  # run or saved policy whose weights are the first ones; "" for random ones
    qat: bool = False  # train it as the device computes it (quantization-aware), with the ranges of its calibration
    collect_seed: int = 0  # of the demonstrations
    seed: int = 0  # initial weights, order of the frames, randomness of each step
    steps: int = 2000  # optimizer steps
    balance: str = ""  # what of the world decides how often a frame is learnt from; "" for all alike
    batch_size: int = 64  # frames of an optimizer step, over all processes
    accumulate: int = 1  # parts that a batch is computed in, one after another
    learning_rate: float = 1e-3  # peak; linear warm-up, then half a cosine down to zero
    warmup_steps: int = 50  # steps of the warm-up
    weight_decay: float = 0.01  # of AdamW
    clip_norm: float = 1.0  # largest norm of the gradient
    ema_decay: float = 0.0  # of the averaged weights that are evaluated and saved as the policy; 0 for none
    ema_power: float = 0.0  # above 0 that decay is only reached in time: at step n it is 1 - (1 + n) ** -power
    precision: Literal["no", "bf16", "fp16"] = "no"  # automatic mixed precision
    device: Literal["auto", "cpu"] = "auto"  # a GPU where there is one, or never
    log_every: int = 20  # steps between lines in the log
    validate_every: int = 500  # steps between passes over the held-out episodes
    validate_episodes: int = 0  # episodes played at each validation; their score chooses the best checkpoint
    save_every: int = 500  # steps between checkpoints, a multiple of validate_every or a divisor of it
    keep_checkpoints: int = 2  # newest ones that are kept, besides the best
    tile_cache: bool = False  # hold images as numbers of their tiles, for a grid world and a policy that takes them
    threads: int = 2  # torch threads; part of the config because sums depend on it

    def __post_init__(self) -> None:
        positive = ("episodes", "steps", "batch_size", "accumulate", "log_every", "validate_every", "save_every")
        for name in (*positive, "threads", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be at least 1.")
        if self.validate_every % self.save_every and self.save_every % self.validate_every:
            raise TrainConfigError(
                f"'validate_every' is {self.validate_every} and 'save_every' {self.save_every}; one must be a multiple "
                "of the other: the best checkpoint is chosen at steps that have both."
            )
        for name in ("collect_seed", "seed", "warmup_steps", "weight_decay", "validate_episodes"):
            if not getattr(self, name) >= 0:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must not be negative.")
        for name, most in (("seed", 2**63 - 1), ("threads", 1024), ("validate_episodes", 10_000_000)):
            if getattr(self, name) > most:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be at most {most}.")
        for name in ("learning_rate", "weight_decay"):
            if not math.isfinite(getattr(self, name)):
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be a finite number.")
        for name in ("learning_rate", "clip_norm"):  # an infinite norm is one that clips nothing
            if not getattr(self, name) > 0:
                raise TrainConfigError(f"'{name}' is {getattr(self, name)}; it must be above 0.")
        if not 0 <= self.ema_decay < 1:
            raise TrainConfigError(f"'ema_decay' is {self.ema_decay}; it must be from 0 to below 1.")
        if not (math.isfinite(self.ema_power) and self.ema_power >= 0):
            raise TrainConfigError(f"'ema_power' is {self.ema_power}; it must be a finite number from 0 on.")
        if self.ema_power and not self.ema_decay:
            raise TrainConfigError(f"'ema_power' is {self.ema_power} and 'ema_decay' 0; nothing is averaged.")
        if self.qat and not self.init_from:
            raise TrainConfigError("'qat' needs 'init_from': the run of a float policy whose ranges are calibrated.")
        if self.qat and self.precision != "no":
            raise TrainConfigError(f"'precision' is '{self.precision}'; 'qat' takes 'no' only: sums are exact.")
        if self.batch_size % self.accumulate:
            raise TrainConfigError(
                f"'batch_size' is {self.batch_size}, not a multiple of 'accumulate', {self.accumulate}."
            )

    @property
    def saved_policy(self) -> str:
        """What a saved policy of the run is called."""
        return QUANTIZED.name if self.qat else self.policy

    def to_json(self) -> dict[str, Any]:
        """All keys, as stored beside checkpoints and hashed by the demo."""
        return dataclasses.asdict(self)
