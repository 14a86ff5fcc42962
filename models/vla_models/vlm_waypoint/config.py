"""Sizes of the waypoint policy: its tower and its head."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from vla_models.errors import PolicyError
from vla_models.siglip.sizes import TowerSizes
from vla_models.vlm_waypoint.names import PAST_VALUES

__all__ = ["VlmWaypointConfig"]


@dataclass(frozen=True)
class VlmWaypointConfig(TowerSizes):
    """Defaults: a tower of 2.8 M parameters and a head of 0.4 M. `data` options come from data and tower."""

    policy: ClassVar[str] = "vlm_waypoint"
    may_differ: ClassVar[frozenset[str]] = frozenset({"feature_cache"})  # from that of a saved one

    tower: str = ""  # folder of its weights, which then also says its sizes; "" for random ones
    tower_id: str = ""  # data: of those weights
    pooling: Literal["mean", "attention"] = "mean"  # what is made of the tower's tokens
    pooling_heads: int = 3  # of the attention
    hidden: tuple[int, ...] = (512, 512)  # of the head's layers
    dropout: float = 0.1
    feature_cache: str = ""  # folder of what the tower said of pictures, for training; "": it is asked again
    state_mean: tuple[float, ...] = (0.0,) * PAST_VALUES  # data
    state_std: tuple[float, ...] = (1.0,) * PAST_VALUES  # data

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "hidden", tuple(self.hidden))  # JSON and TOML give lists
        for name in ("state_mean", "state_std"):
            values = tuple(map(float, getattr(self, name)))
            object.__setattr__(self, name, values)
            if len(values) != PAST_VALUES or not all(math.isfinite(v) for v in values):
                raise PolicyError(f"vlm_waypoint: '{name}' must be {PAST_VALUES} finite numbers; it has {len(values)}.")
        if min(self.state_std) <= 0:
            raise PolicyError(f"vlm_waypoint: 'state_std' has {min(self.state_std)}; each must be above 0.")
        if not self.hidden or not all(1 <= h <= 65536 for h in self.hidden):
            raise PolicyError(f"vlm_waypoint: 'hidden' is {list(self.hidden)}; it must be numbers from 1 to 65536.")
        if not 0 <= self.dropout < 1:
            raise PolicyError(f"vlm_waypoint: 'dropout' is {self.dropout}; it must be from 0 to below 1.")
        if self.feature_cache and not self.tower:
            raise PolicyError(
                f"vlm_waypoint: 'feature_cache' is {self.feature_cache} and 'tower' empty; features are kept of one "
                "with a folder."
            )
        if not 1 <= self.pooling_heads <= 256 or self.tower_width % self.pooling_heads:
            raise PolicyError(
                f"vlm_waypoint: 'pooling_heads' is {self.pooling_heads}; it must be from 1 to 256 and divide "
                f"'tower_width', {self.tower_width}."
            )
