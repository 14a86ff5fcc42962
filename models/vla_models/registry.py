"""The list of policies. Importing it imports no torch: a robot finds its preprocessor here.

Not here: what a policy offers (`policy.py`), saved weights (`saved.py`).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vla_isa.registry import find_named
from vla_models.act.config import ActConfig
from vla_models.act.preprocess import ActPreprocessor
from vla_models.babyai_cnn.config import BabyAICnnConfig
from vla_models.babyai_cnn.preprocess import BabyAIPreprocessor
from vla_models.babyai_film.config import BabyAIFilmConfig
from vla_models.babyai_moe.config import BabyAIMoeConfig
from vla_models.driving_tiles.config import DrivingTilesConfig
from vla_models.driving_tiles.preprocess import DrivingTilesPreprocessor
from vla_models.driving_vgg.config import DrivingVggConfig
from vla_models.driving_vgg.preprocess import DrivingVggPreprocessor
from vla_models.errors import PolicyError
from vla_models.flow_autoregressive.config import FlowAutoregressiveConfig
from vla_models.flow_autoregressive.preprocess import FlowAutoregressivePreprocessor
from vla_models.lerobot_act.config import LerobotActConfig
from vla_models.lerobot_act.preprocess import LerobotActPreprocessor
from vla_models.lerobot_diffusion.config import LerobotDiffusionConfig
from vla_models.lerobot_diffusion.preprocess import LerobotDiffusionPreprocessor
from vla_models.mlp_policy.config import MlpPolicyConfig
from vla_models.mlp_policy.preprocess import MlpPolicyPreprocessor
from vla_models.option_types import check_types
from vla_models.pi_zero.config import PiZeroConfig
from vla_models.pi_zero.preprocess import PiZeroPreprocessor
from vla_models.pi_zero_pixels.config import PiZeroPixelsConfig
from vla_models.pi_zero_pixels.preprocess import PiZeroPixelsPreprocessor
from vla_models.policy import Preprocessor
from vla_models.quantized_config import QuantizedConfig
from vla_models.rdt.config import RdtConfig
from vla_models.rdt.fitted import check_set as rdt_check_set
from vla_models.rdt.fitted import fitted as rdt_fitted
from vla_models.rdt.preprocess import RdtPreprocessor
from vla_models.siglip_tower.config import SiglipTowerConfig
from vla_models.siglip_tower.preprocess import SiglipTowerPreprocessor
from vla_models.sim_v0.config import SimV0Config
from vla_models.sim_v0.fitted import fitted as sim_v0_fitted
from vla_models.sim_v0.preprocess import SimV0Preprocessor
from vla_models.vlm_waypoint.config import VlmWaypointConfig
from vla_models.vlm_waypoint.fitted import fitted as vlm_waypoint_fitted
from vla_models.vlm_waypoint.preprocess import VlmWaypointPreprocessor

if TYPE_CHECKING:
    import torch

__all__ = ["IMPORTED", "POLICIES", "QUANTIZED", "PolicySpec", "find_policy", "find_saved"]


def _as_it_is(config: Any, statistics: Mapping[str, Any]) -> Any:
    return config


def _any_set(config: Any, info: Mapping[str, Any]) -> None:
    return


@dataclass(frozen=True)
class PolicySpec:
    """One policy: its name, its frozen config dataclass, and how module and preprocessor are made from a config."""

    name: str
    config: Callable[..., Any]
    model: str  # `module:Class`, imported when it is made: it needs torch
    preprocessor: Callable[[Any], Preprocessor]
    fitted: Callable[[Any, Mapping[str, Any]], Any] = _as_it_is  # config for data with these statistics (stats.json)
    check_set: Callable[[Any, Mapping[str, Any]], None] = (
        _any_set  # refuses data that the config is not for (info.json)
    )

    def make(self, config: Any) -> torch.nn.Module:
        """A new policy with random weights (from torch's current generator)."""
        module, _, name = self.model.partition(":")
        policy: torch.nn.Module = getattr(importlib.import_module(module), name)(config)
        return policy

    def preprocessor_by_name(self) -> Preprocessor:
        """The robot's side, where its name says enough: it takes no options, so that all policies of the name share it.

        Raises:
            PolicyError: it takes options (what is normalized, how much of a chunk is done), and the saved policy has
                them.
        """
        (config,) = inspect.signature(self.preprocessor).parameters.values()
        if config.default is config.empty:
            raise PolicyError(
                f"what policy '{self.name}' sees and does depends on its options, which a name does not say; give "
                "--policy the folder of its run or saved policy."
            )
        return self.preprocessor(self.configured({}))

    def configured(self, options: Mapping[str, Any]) -> Any:
        """The config with these options.

        Raises:
            PolicyError: an option is unknown, of another type or out of range.
        """
        check_types(f"Policy '{self.name}'", self.config, options)
        try:
            return self.config(**options)
        except TypeError as error:
            raise PolicyError(f"Policy '{self.name}': {error}.") from error


POLICIES: tuple[PolicySpec, ...] = (
    PolicySpec("babyai_cnn", BabyAICnnConfig, "vla_models.babyai_cnn.model:BabyAICnn", BabyAIPreprocessor),
    PolicySpec("babyai_film", BabyAIFilmConfig, "vla_models.babyai_film.model:BabyAIFilm", BabyAIPreprocessor),
    PolicySpec("babyai_moe", BabyAIMoeConfig, "vla_models.babyai_moe.model:BabyAIMoe", BabyAIPreprocessor),
    PolicySpec("driving_vgg", DrivingVggConfig, "vla_models.driving_vgg.model:DrivingVgg", DrivingVggPreprocessor),
    PolicySpec(
        "driving_tiles", DrivingTilesConfig, "vla_models.driving_tiles.model:DrivingTiles", DrivingTilesPreprocessor
    ),
    PolicySpec("mlp_policy", MlpPolicyConfig, "vla_models.mlp_policy.model:MlpPolicy", MlpPolicyPreprocessor),
    PolicySpec("pi_zero", PiZeroConfig, "vla_models.pi_zero.model:PiZero", PiZeroPreprocessor),
    PolicySpec(
        "flow_autoregressive",
        FlowAutoregressiveConfig,
        "vla_models.flow_autoregressive.model:FlowAutoregressive",
        FlowAutoregressivePreprocessor,
    ),
    PolicySpec(
        "pi_zero_pixels", PiZeroPixelsConfig, "vla_models.pi_zero_pixels.model:PiZeroPixels", PiZeroPixelsPreprocessor
    ),
    PolicySpec("act", ActConfig, "vla_models.act.model:Act", ActPreprocessor),
    PolicySpec("rdt", RdtConfig, "vla_models.rdt.model:Rdt", RdtPreprocessor, rdt_fitted, rdt_check_set),
    PolicySpec("siglip_tower", SiglipTowerConfig, "vla_models.siglip_tower.model:SiglipTower", SiglipTowerPreprocessor),
    PolicySpec(
        "vlm_waypoint",
        VlmWaypointConfig,
        "vla_models.vlm_waypoint.model:VlmWaypoint",
        VlmWaypointPreprocessor,
        vlm_waypoint_fitted,
    ),
    PolicySpec("sim_v0", SimV0Config, "vla_models.sim_v0.model:SimV0", SimV0Preprocessor, sim_v0_fitted),
)

# Made by `vla-train import-lerobot`: what they observe is in the file, and they are not trained here.
IMPORTED: tuple[PolicySpec, ...] = (
    PolicySpec("lerobot_act", LerobotActConfig, "vla_models.lerobot_act.model:LerobotAct", LerobotActPreprocessor),
    PolicySpec(
        "lerobot_diffusion",
        LerobotDiffusionConfig,
        "vla_models.lerobot_diffusion.model:LerobotDiffusion",
        LerobotDiffusionPreprocessor,
    ),
)


def find_policy(name: str) -> PolicySpec:
    """The registered policy called `name`.

    Raises:
        PolicyError: none is.
    """
    return find_named("policy", name, POLICIES, PolicyError)


class _Quantized(PolicySpec):
    """A quantized policy is made around its float policy, whose batches it trains on."""

    def make(self, config: Any) -> torch.nn.Module:
        spec = find_policy(config.policy)
        module, _, name = self.model.partition(":")
        base = spec.make(spec.configured(config.options))
        policy: torch.nn.Module = getattr(importlib.import_module(module), name)(config, base)
        return policy


def _float_preprocessor(config: QuantizedConfig) -> Preprocessor:
    spec = find_policy(config.policy)
    return spec.preprocessor(spec.configured(config.options))


# Of any of them, as the device computes it. Training makes it of a float one: it is no choice of a config.
QUANTIZED = _Quantized("quantized", QuantizedConfig, "vla_models.quantized.policy:QuantizedPolicy", _float_preprocessor)


def find_saved(name: str) -> PolicySpec:
    """The policy that a saved one calls `name`.

    Raises:
        PolicyError: there is none.
    """
    return find_named("policy", name, (*POLICIES, *IMPORTED, QUANTIZED), PolicyError)
