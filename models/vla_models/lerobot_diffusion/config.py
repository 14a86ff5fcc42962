"""Sizes of a Diffusion Policy of LeRobot, what it observes, and its sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_models.errors import PolicyError
from vla_models.lerobot.features import STATE_INPUT, Feature, check_count, read_feature, read_inputs

__all__ = ["LAST_GROUPS", "LerobotDiffusionConfig"]

LAST_GROUPS = 8  # of the U-Net's last norm, whatever those of the others are
_NAME = "lerobot_diffusion"
_CHOICES = {
    "backbone": ("resnet18", "resnet34"),
    "sampler": ("DDIM", "DDPM"),
    "schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "says": ("noise", "action"),
}


@dataclass(frozen=True)
class LerobotDiffusionConfig:
    """Made by `vla-train import-lerobot`; there are no defaults of what is observed."""

    inputs: Mapping[str, Any]  # the fields of a `Feature` by the name of the network's input
    action: Mapping[str, Any]  # likewise
    history: int = 2  # steps that are seen, up to now
    horizon: int = 16  # steps of the chunk, from the first that is seen on
    execute: int = 8  # of them that are done, from now on, before the next one
    backbone: str = "resnet18"
    group_norm: bool = True  # in the backbone
    shared_backbone: bool = True  # one for all cameras
    image_points: int = 32  # that are looked for in the features of an image
    channels: tuple[int, ...] = (512, 1024, 2048)  # of the U-Net's stages
    kernel: int = 5
    groups: int = 8  # of the U-Net's norms
    time_width: int = 128
    film_scale: bool = True  # the condition scales the channels, too
    sampler: str = "DDPM"
    sampler_steps: int = 100
    training_steps: int = 100
    schedule: str = "squaredcos_cap_v2"
    noise_first: float = 1e-4  # variance that the first step of training adds, where the schedule is linear
    noise_last: float = 0.02
    says: str = "noise"  # what the network says
    reach: float | None = 1.0  # actions that the sampler believes in are cut to so far from 0; none: they are not

    def __post_init__(self) -> None:
        observed, _ = self.observed, self.does  # refused here, not when they are needed
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON gives lists
        if STATE_INPUT not in observed:
            raise PolicyError(f"{_NAME}: it has no input '{STATE_INPUT}', which it must see.")
        for name, most in (("history", 16), ("horizon", 1024), ("image_points", 1024), ("groups", 1024)):
            check_count(_NAME, self, name, 1, most)
        check_count(_NAME, self, "execute", 1, self.horizon - self.history + 1)
        check_count(_NAME, self, "kernel", 1, 31)
        check_count(_NAME, self, "time_width", 4, 8192)
        check_count(_NAME, self, "training_steps", 1, 10_000)
        check_count(_NAME, self, "sampler_steps", 1, min(self.training_steps, 1000))
        self._check_network(observed)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise PolicyError(f"{_NAME}: '{name}' is '{getattr(self, name)}'; it must be {' or '.join(known)}.")
        if not 0 < self.noise_first < 1 or not 0 < self.noise_last < 1:
            raise PolicyError(
                f"{_NAME}: the noise is from {self.noise_first} to {self.noise_last}; both must be between 0 and 1."
            )
        if self.reach is not None and not (math.isfinite(self.reach) and self.reach > 0):
            raise PolicyError(f"{_NAME}: 'reach' is {self.reach}; it must be above 0, or none.")

    @property
    def observed(self) -> dict[str, Feature]:
        """What is seen, by the name of the network's input."""
        return read_inputs(_NAME, self.inputs)

    @property
    def does(self) -> Feature:
        """An action."""
        return read_feature(_NAME, "action", self.action)

    def _check_network(self, observed: Mapping[str, Feature]) -> None:
        """Refuse a U-Net or images that there cannot be."""
        if not 1 <= len(self.channels) <= 8 or not all(1 <= n <= 8192 and n % self.groups == 0 for n in self.channels):
            raise PolicyError(
                f"{_NAME}: 'channels' is {list(self.channels)}; it must be 1 to 8 multiples of 'groups', {self.groups}."
            )
        if self.channels[0] % LAST_GROUPS:
            raise PolicyError(
                f"{_NAME}: 'channels' begins with {self.channels[0]}; it must be a multiple of {LAST_GROUPS}."
            )
        if self.kernel % 2 == 0 or self.time_width % 2:
            raise PolicyError(f"{_NAME}: 'kernel' is {self.kernel} and 'time_width' {self.time_width}; odd, and even.")
        if self.horizon % 2 ** (len(self.channels) - 1):
            raise PolicyError(f"{_NAME}: 'horizon' is {self.horizon}; {len(self.channels)} stages halve it each time.")
        sizes = {feature.seen for feature in observed.values() if feature.is_image}
        if len(sizes) > 1:
            raise PolicyError(f"{_NAME}: images are of sizes {sorted(sizes)}; all must be of one.")
