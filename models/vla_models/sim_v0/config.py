"""Sizes of SIM v0: its eyes, its prefix and its language model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from vla_models.errors import PolicyError
from vla_models.sim_v0.names import TELEMETRY_VALUES

__all__ = ["SimV0Config"]


@dataclass(frozen=True)
class SimV0Config:
    """Defaults: 2.0 M parameters, 1.8 M of them in the eyes. `data` options come from data and language model."""

    may_differ: ClassVar[frozenset[str]] = frozenset(
        {"backbone", "backbone_id", "layers", "eyes_frozen", "feature_cache"}
    )  # from those of a saved one

    width: int = 64  # d of a random language model; data: of the folder's
    backbone: str = ""  # folder of the language model, as transformers saves it; "" for a small random one
    backbone_id: str = ""  # data: of its weights
    architecture: Literal["llama", "gpt2", "opt"] = "llama"  # of the random one
    heads: int = 4  # of the random one
    layers: int = 2  # the first ones of the language model, which are used
    frames: int = 8  # F: pictures, the newest included
    video_tokens: int = 4  # K: what they become, each the mean of some
    features: int = 768  # dv: what the eyes say of a picture
    channels: tuple[int, ...] = (16, 32, 64, 64)  # of the eyes' convolutions, each of half the side of the one before
    image_size: int = 96  # px of a side
    camera: str = "front"
    eyes_frozen: bool = False  # they have learnt already, and stay as they are
    feature_cache: str = ""  # folder of what frozen eyes said of pictures, for training; "": they look again
    high_from: float = 0.5  # a risk is called high from this probability on
    telemetry_mean: tuple[float, ...] = (0.0,) * TELEMETRY_VALUES  # data
    telemetry_std: tuple[float, ...] = (1.0,) * TELEMETRY_VALUES  # data

    def __post_init__(self) -> None:
        for name in ("telemetry_mean", "telemetry_std"):
            values = tuple(map(float, getattr(self, name)))  # JSON and TOML give lists
            object.__setattr__(self, name, values)
            if len(values) != TELEMETRY_VALUES or not all(math.isfinite(v) for v in values):
                raise PolicyError(f"sim_v0: '{name}' must be {TELEMETRY_VALUES} finite numbers; it has {len(values)}.")
        object.__setattr__(self, "channels", tuple(self.channels))
        if min(self.telemetry_std) <= 0:
            raise PolicyError(f"sim_v0: 'telemetry_std' has {min(self.telemetry_std)}; each must be above 0.")
        if not 1 <= len(self.channels) <= 8 or not all(1 <= c <= 4096 for c in self.channels):
            raise PolicyError(f"sim_v0: 'channels' is {list(self.channels)}; it must be 1 to 8 numbers from 1 to 4096.")
        for name, least, most in _RANGES:
            if not least <= getattr(self, name) <= most:
                raise PolicyError(f"sim_v0: '{name}' is {getattr(self, name)}; it must be from {least} to {most}.")
        if self.image_size % 2 ** len(self.channels):
            raise PolicyError(
                f"sim_v0: 'image_size' is {self.image_size}; with {len(self.channels)} convolutions it must be a "
                f"multiple of {2 ** len(self.channels)}."
            )
        if self.video_tokens > self.frames:
            raise PolicyError(
                f"sim_v0: 'video_tokens' is {self.video_tokens}; it must be at most 'frames', {self.frames}."
            )
        if not self.backbone and self.width % (2 * self.heads):
            raise PolicyError(
                f"sim_v0: 'width' is {self.width}; it must be a multiple of twice 'heads', {2 * self.heads}."
            )
        if self.feature_cache and not self.eyes_frozen:
            raise PolicyError(
                f"sim_v0: 'feature_cache' is {self.feature_cache} and 'eyes_frozen' false; what learning eyes say "
                "changes. Turn it on, or leave the cache out."
            )
        if not self.camera:
            raise PolicyError("sim_v0: 'camera' is empty; give its name, such as front.")

    @property
    def segments(self) -> tuple[int, ...]:
        """Pictures of each video token, the oldest first; what does not divide is on the first ones."""
        each, more = divmod(self.frames, self.video_tokens)
        return (each + 1,) * more + (each,) * (self.video_tokens - more)


_RANGES = (
    ("width", 2, 65536),
    ("heads", 1, 256),
    ("layers", 1, 256),
    ("frames", 2, 256),
    ("video_tokens", 1, 256),
    ("features", 1, 65536),
    ("image_size", 2, 4096),
    ("high_from", 0.0, 1.0),
)
