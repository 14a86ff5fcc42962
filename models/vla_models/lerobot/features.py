"""What a policy of LeRobot observes and does, and how each of its numbers is normalized.

No torch: a robot reads it. Not here: LeRobot's own files, of which it is made (`vla_training.import_lerobot`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_models.errors import PolicyError
from vla_models.lerobot.resize import resize
from vla_models.option_types import check_types

__all__ = ["ENVIRONMENT", "MOST_VALUES", "STATE_INPUT", "Feature", "check_count", "read_feature", "read_inputs"]

STATE_INPUT, ENVIRONMENT = "state", "environment_state"  # the vectors among a network's inputs
MOST_VALUES = 4096  # of a vector; rows or columns of an image
MOST_FEATURES = 32

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Feature:
    """A vector (n,), or an image (3, H, W) of pixels in [0, 1]; a network sees (value - offset) / scale.

    Attributes:
        key: where an observation has it.
        shape: as it is observed, channels first.
        offset: a number for each value of a vector, or for each channel of an image.
        scale: likewise; 0 only of an action, where it is always `offset`.
        resized: rows and columns that an image is resized to; none: it is not.
        cropped: rows and columns around the middle that are left of it then; none: all.
    """

    key: str
    shape: tuple[int, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    resized: tuple[int, ...] = ()
    cropped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            object.__setattr__(self, field.name, tuple(getattr(self, field.name)))  # JSON gives lists
        right = len(self.shape) == 1 or (self.is_image and self.shape[0] == 3)
        if not right or not all(1 <= n <= MOST_VALUES for n in self.shape):
            raise PolicyError(
                f"'{self.key}' has shape {list(self.shape)}; it must be 1 to {MOST_VALUES} values, or an image of 3 "
                f"channels and 1 to {MOST_VALUES} rows and columns."
            )
        self._check_sizes()
        for name in ("offset", "scale"):
            values = getattr(self, name)
            if len(values) != self.shape[0] or not all(map(math.isfinite, values)):
                raise PolicyError(
                    f"'{self.key}': {name} is {str(list(values))[:80]}; it must be {self.shape[0]} finite numbers."
                )

    def _check_sizes(self) -> None:
        """Refuse an image that cannot be resized or cropped so, and a vector that is."""
        whole = self.resized or self.shape[1:]
        for name, most in (("resized", (MOST_VALUES, MOST_VALUES)), ("cropped", whole)):
            found = getattr(self, name)
            if found and not (
                self.is_image and len(found) == 2 and all(1 <= n <= m for n, m in zip(found, most, strict=True))
            ):
                raise PolicyError(f"'{self.key}' of shape {list(self.shape)} cannot be {name} to {list(found)}.")

    @property
    def is_image(self) -> bool:
        """Whether it is one."""
        return len(self.shape) == 3

    @property
    def seen(self) -> tuple[int, ...]:
        """The shape that the network sees."""
        return (3, *(self.cropped or self.resized or self.shape[1:])) if self.is_image else self.shape

    def normalized(self, values: npt.NDArray[Any]) -> Floats:
        """What the network sees of vectors (..., n), or of pixels uint8 (..., H, W, 3): (..., *seen)."""
        spread = (-1, 1, 1) if self.is_image else (-1,)
        if self.is_image:
            values = np.moveaxis(values.astype(np.float32) / np.float32(255), -1, -3)
            values = self._cropped(resize(values, self.resized) if self.resized else values)
        offset, scale = (np.reshape(np.array(v, np.float64), spread) for v in (self.offset, self.scale))
        away = values - offset
        found: Floats = np.divide(away, scale, out=np.zeros_like(away), where=scale != 0).astype(np.float32)
        return found

    def restored(self, values: npt.NDArray[Any]) -> Floats:
        """The values of what a network said (..., n)."""
        found: Floats = (values * np.array(self.scale) + np.array(self.offset)).astype(np.float32)
        return found

    def _cropped(self, pixels: Floats) -> Floats:
        if not self.cropped:
            return pixels
        # rounded to the even one where the middle is between two pixels, as torchvision does it
        top, left = (round((n - m) / 2) for n, m in zip(pixels.shape[-2:], self.cropped, strict=True))
        return pixels[..., top : top + self.cropped[0], left : left + self.cropped[1]]


def read_feature(policy: str, name: str, options: Any) -> Feature:
    """A feature of a config, of what JSON has of it.

    Raises:
        PolicyError: it is none.
    """
    known = [field.name for field in fields(Feature)]
    if not isinstance(options, Mapping) or not {"key", "shape", "offset", "scale"} <= set(options) <= set(known):
        raise PolicyError(f"{policy}: '{name}' is {str(options)[:80]!r}; it must be a table of {', '.join(known)}.")
    check_types(f"{policy}: '{name}'", Feature, options)
    return Feature(**options)


def read_inputs(policy: str, options: Any) -> dict[str, Feature]:
    """Features by the name of the network's input: `state`, `environment_state`, and images by any other name.

    Raises:
        PolicyError: one is none, there are too many, or there is neither an image nor a state of the environment.
    """
    if not isinstance(options, Mapping) or not 1 <= len(options) <= MOST_FEATURES:
        raise PolicyError(
            f"{policy}: 'inputs' is {str(options)[:80]!r}; it must be a table of 1 to {MOST_FEATURES} features."
        )
    found = {str(name): read_feature(policy, str(name), feature) for name, feature in options.items()}
    for name, feature in found.items():
        if feature.is_image == (name in (STATE_INPUT, ENVIRONMENT)):
            raise PolicyError(
                f"{policy}: input '{name}' has shape {list(feature.shape)}; '{STATE_INPUT}' and '{ENVIRONMENT}' are "
                "vectors, all others are images."
            )
        if not all(feature.scale):
            raise PolicyError(f"{policy}: a scale of '{feature.key}' is 0, and nothing can be divided by it.")
    if set(found) == {STATE_INPUT}:
        raise PolicyError(f"{policy}: it sees '{STATE_INPUT}' alone; it must see an image or '{ENVIRONMENT}' too.")
    return found


def check_count(policy: str, config: Any, name: str, least: int, most: int) -> None:
    """Refuse a size out of range.

    Raises:
        PolicyError: names it.
    """
    value = getattr(config, name)
    if not least <= value <= most:
        raise PolicyError(f"{policy}: '{name}' is {value}; it must be from {least} to {most}.")
