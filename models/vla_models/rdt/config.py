"""Sizes of RDT, the robot it moves and what it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_datasets.errors import DatasetError
from vla_datasets.unified.robots import find_robot
from vla_models.errors import PolicyError
from vla_models.sampling.noise_schedule import MOST_STEPS

__all__ = ["RdtConfig"]

_JOINTS = 14  # of the default robot


@dataclass(frozen=True)
class RdtConfig:
    """Defaults: 1.5 M parameters, one camera, two ALOHA arms. `data` options come from the data's statistics."""

    width: int = 128
    depth: int = 4  # blocks; even ones attend words, odd ones pictures
    heads: int = 8
    horizon: int = 64  # steps of a chunk, from now on
    execute: int = 32  # of them that are done before the next one
    ensemble: float = 0.0  # decay of the weights of older chunks, asked for each step; 0: none, see `chunks.ensemble`
    sampler_steps: int = 5
    sampler_loop: bool = False  # a program has one step in a loop: it is smaller, and scales hold for all steps
    frequency: float = 25.0  # Hz, of control
    robot: str = "aloha"  # whose values are in the unified vector, see `vla_datasets.unified`
    normalize: bool = False  # state and actions by the data's mean and deviation; else as they are (SI units)
    state_mean: tuple[float, ...] = (0.0,) * _JOINTS  # data
    state_std: tuple[float, ...] = (1.0,) * _JOINTS  # data
    action_mean: tuple[float, ...] = (0.0,) * _JOINTS  # data
    action_std: tuple[float, ...] = (1.0,) * _JOINTS  # data
    cameras: tuple[str, ...] = ("top",)
    history: int = 1  # pictures of each camera, the newest included
    image_height: int = 96
    image_width: int = 128
    channels: tuple[int, ...] = (32, 64, 96, 128)  # of the convolutions that make tokens, stride 2; empty: see below
    feature_tokens: int = 729  # of a picture, where another network makes them and they are the input
    feature_width: int = 1152
    language_tokens: int = 32  # at most, of a sentence
    language_width: int = 384
    embeddings: str = ""  # folder of `vla-train embed-text`
    encoder: str = ""  # data: what made them

    def __post_init__(self) -> None:
        for name, make in (("cameras", str), ("channels", int)):
            object.__setattr__(self, name, tuple(map(make, getattr(self, name))))  # JSON and TOML give lists
        try:
            joints = len(find_robot(self.robot).names)
        except DatasetError as error:
            raise PolicyError(f"rdt: 'robot' is '{self.robot}': {error}") from error
        for name in ("state_mean", "state_std", "action_mean", "action_std"):
            values = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, values)
            if len(values) != joints or not all(math.isfinite(v) for v in values):
                raise PolicyError(f"rdt: '{name}' is {list(values)}; it must be {joints} finite numbers.")
            if name.endswith("std") and min(values, default=1.0) <= 0:
                raise PolicyError(f"rdt: '{name}' is {list(values)}; each must be above 0.")
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise PolicyError(f"rdt: '{name}' is {getattr(self, name)}; it must be from 1 to {most}.")
        self._check_chunk()
        self._check_pictures()

    def _check_chunk(self) -> None:
        if self.width % (4 * self.heads):
            raise PolicyError(f"rdt: 'width' is {self.width}; it must be a multiple of 4 x 'heads', {4 * self.heads}.")
        if self.execute > self.horizon:
            raise PolicyError(f"rdt: 'execute' is {self.execute}; it must be from 1 to 'horizon', {self.horizon}.")
        if not (math.isfinite(self.frequency) and self.frequency > 0):
            raise PolicyError(f"rdt: 'frequency' is {self.frequency}; it must be a finite number above 0, in Hz.")
        if not (math.isfinite(self.ensemble) and self.ensemble >= 0):
            raise PolicyError(f"rdt: 'ensemble' is {self.ensemble}; it must be a finite number from 0 on.")

    def _check_pictures(self) -> None:
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise PolicyError(f"rdt: 'cameras' is {list(self.cameras)}; it must be different names, at least one.")
        if self.history > 1 and self.execute > 1 and not self.ensemble:
            raise PolicyError(
                f"rdt: 'history' is {self.history} and 'execute' {self.execute}; pictures are seen when the network is "
                "asked, so those of the steps before need 'execute' 1 or an 'ensemble'."
            )
        if not all(1 <= c <= 4096 for c in self.channels):
            raise PolicyError(f"rdt: 'channels' is {list(self.channels)}; it must be numbers from 1 to 4096.")
        for name in ("image_height", "image_width"):
            if getattr(self, name) % 2 ** len(self.channels):
                raise PolicyError(
                    f"rdt: '{name}' is {getattr(self, name)}; it must be a multiple of {2 ** len(self.channels)}, as "
                    "each convolution halves it."
                )

    @property
    def grid(self) -> tuple[int, int, int, int]:
        """Of the tokens of all pictures: history, cameras, rows and columns of one picture; (1, tokens) of features."""
        if not self.channels:
            return self.history, len(self.cameras), 1, self.feature_tokens
        halved = 2 ** len(self.channels)
        return self.history, len(self.cameras), self.image_height // halved, self.image_width // halved

    @property
    def pictures(self) -> tuple[tuple[str, int], ...]:
        """Camera and age in steps of each picture, in their order: the oldest first."""
        return tuple((camera, age) for age in reversed(range(self.history)) for camera in self.cameras)


_MOST = {
    **dict.fromkeys(("width", "feature_width", "language_width"), 65536),
    **dict.fromkeys(("depth", "heads", "horizon", "execute"), 256),
    **dict.fromkeys(("image_height", "image_width", "feature_tokens", "language_tokens"), 4096),
    "sampler_steps": MOST_STEPS,
    "history": 16,
}
