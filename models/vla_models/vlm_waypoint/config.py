"""Sizes of the waypoint policy: its tower and its head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from vla_models.errors import PolicyError
from vla_models.siglip.sizes import TowerSizes
from vla_models.vlm_waypoint.names import PAST_VALUES

__all__ = ["VlmWaypointConfig"]

_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_LINEAR = (*_ATTENTION, "fc1", "fc2")  # of a layer of the tower


@dataclass(frozen=True)
class VlmWaypointConfig(TowerSizes):
    """Defaults: a tower of 2.8 M parameters and a head of 0.4 M. `data` options come from data and tower."""

    policy: ClassVar[str] = "vlm_waypoint"

    tower: str = ""  # folder of its weights, which then also says its sizes; "" for random ones
    tower_id: str = ""  # data: of those weights
    pooling: Literal["mean", "attention"] = "mean"  # what is made of the tower's tokens
    pooling_heads: int = 3  # of the attention
    hidden: tuple[int, ...] = (512, 512)  # of the head's layers
    dropout: float = 0.1
    proposals: int = 1  # motions that the head says; of several it says a score, too, and the best one is driven
    mirror: float = 0.0  # share of the frames that are mirrored in training, left and right changed
    feature_cache: str = ""  # folder of what the tower said of pictures, for training; "": it is asked again
    split: bool = False  # tower and head are two graphs, so that a program has an entry point for each
    lora_rank: int = 0  # of the tower's adapters; 0 for none
    lora_alpha: float = 16.0  # what they add is multiplied by it over the rank
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = _ATTENTION  # layers that get one, of each of the tower's
    lora_layers: int = 1  # of the tower, the last ones
    state_mean: tuple[float, ...] = (0.0,) * PAST_VALUES  # data
    state_std: tuple[float, ...] = (1.0,) * PAST_VALUES  # data

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hidden", "lora_targets"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON and TOML give lists
        self._check_head()
        self._check_lora()

    @property
    def may_differ(self) -> frozenset[str]:
        """Options that a run that starts from such a saved policy may change; adapters that have learnt stay."""
        adapters = () if self.lora_rank else ("lora_rank", "lora_alpha", "lora_targets", "lora_layers")
        return frozenset(("feature_cache", "mirror", "split", "lora_dropout", *adapters))

    @property
    def _sizes_known(self) -> bool:
        """Whether the tower's folder has been asked for its sizes; until then they may be others."""
        return not self.tower or bool(self.tower_id)

    def _check_head(self) -> None:
        for name in ("state_mean", "state_std"):
            values = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, values)
            if len(values) != PAST_VALUES or not all(math.isfinite(v) for v in values):
                raise PolicyError(f"vlm_waypoint: '{name}' must be {PAST_VALUES} finite numbers; it has {len(values)}.")
        if min(self.state_std) <= 0:
            raise PolicyError(f"vlm_waypoint: 'state_std' has {min(self.state_std)}; each must be above 0.")
        if not self.hidden or not all(1 <= h <= 65536 for h in self.hidden):
            raise PolicyError(f"vlm_waypoint: 'hidden' is {list(self.hidden)}; it must be numbers from 1 to 65536.")
        for name in ("dropout", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise PolicyError(f"vlm_waypoint: '{name}' is {getattr(self, name)}; it must be from 0 to below 1.")
        if not 0 <= self.mirror <= 1:
            raise PolicyError(f"vlm_waypoint: 'mirror' is {self.mirror}; it must be from 0 to 1.")
        if self.mirror and self.camera.endswith(("left", "right")):
            raise PolicyError(
                f"vlm_waypoint: 'mirror' is {self.mirror}, and 'camera' {self.camera}: what it sees is no picture of "
                "that camera in a mirror. Leave 'mirror' out, or take front or rear."
            )
        if not 1 <= self.proposals <= 4096:
            raise PolicyError(f"vlm_waypoint: 'proposals' is {self.proposals}; it must be from 1 to 4096.")
        if self.feature_cache and not self.tower:
            raise PolicyError(
                f"vlm_waypoint: 'feature_cache' is {self.feature_cache} and 'tower' empty; features are kept of one "
                "with a folder."
            )
        divides = not self._sizes_known or self.tower_width % max(self.pooling_heads, 1) == 0
        if not (1 <= self.pooling_heads <= 256 and divides):
            raise PolicyError(
                f"vlm_waypoint: 'pooling_heads' is {self.pooling_heads}; it must be from 1 to 256 and divide "
                f"'tower_width', {self.tower_width}."
            )

    def _check_lora(self) -> None:
        if not 0 <= self.lora_rank <= 65536:
            raise PolicyError(f"vlm_waypoint: 'lora_rank' is {self.lora_rank}; it must be from 0 to 65536.")
        if not (math.isfinite(self.lora_alpha) and self.lora_alpha > 0):
            raise PolicyError(f"vlm_waypoint: 'lora_alpha' is {self.lora_alpha}; it must be a finite number above 0.")
        if not self.lora_targets or not set(self.lora_targets) <= set(_LINEAR):
            raise PolicyError(
                f"vlm_waypoint: 'lora_targets' is {list(self.lora_targets)}; it must be some of {', '.join(_LINEAR)}."
            )
        if self.lora_layers < 1 or (self._sizes_known and self.lora_layers > self.tower_layers):
            raise PolicyError(
                f"vlm_waypoint: 'lora_layers' is {self.lora_layers}; it must be from 1 to 'tower_layers', "
                f"{self.tower_layers}."
            )
        if self.lora_rank and (self.feature_cache or not self.tower):
            raise PolicyError(
                f"vlm_waypoint: 'lora_rank' is {self.lora_rank}; adapters need a 'tower' with a folder, and no "
                "'feature_cache': what a tower that learns says cannot be kept."
            )
