"""What LeRobot reads of a folder's config.json. The file is untrusted: it is checked before anything is made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType

from vla_datasets.keys import ACTION
from vla_models.errors import PolicyError
from vla_models.registry import PolicySpec, find_saved
from vla_training.export_lerobot.names import TYPE

__all__ = ["VlaToolchainConfig"]


@PreTrainedConfig.register_subclass(TYPE)
@dataclass
class VlaToolchainConfig(PreTrainedConfig):  # type: ignore[misc]  # LeRobot is untyped here
    """A policy of ours.

    Attributes:
        policy: its registered name.
        options: of it, as JSON has them.
        seed: of the first episode; the following ones have those behind it.
    """

    policy: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def made(self) -> tuple[PolicySpec, Any]:
        """The policy and its config.

        Raises:
            PolicyError: there is no such policy, or an option is unknown, of another type or out of range.
        """
        spec = find_saved(self.policy)
        return spec, spec.configured(self.options)

    def validate_features(self) -> None:
        """Refuse features that are none of a policy, and a seed that is none.

        Raises:
            PolicyError: names it.
        """
        if not self.input_features or not self.action_feature:
            raise PolicyError(
                f"config.json: 'input_features' must hold what is observed, 'output_features' '{ACTION}'."
            )
        for key, feature in self.input_features.items():
            shape, picture = tuple(feature.shape), feature.type is FeatureType.VISUAL
            whole = all(type(size) is int and size >= 1 for size in shape)
            if not shape or not whole or (picture and (len(shape) != 3 or shape[0] != 3)):
                raise PolicyError(f"config.json: '{key}' of type {feature.type} has shape {str(shape)[:80]}.")
        if self.seed < 0:
            raise PolicyError(f"config.json: 'seed' is {self.seed}; it must be 0 or more.")

    @property
    def observation_delta_indices(self) -> None:
        """LeRobot is not asked for more than the step of now."""
        return None

    @property
    def action_delta_indices(self) -> None:
        """It is not trained there."""
        return None

    @property
    def reward_delta_indices(self) -> None:
        """It is not trained there."""
        return None

    def get_optimizer_preset(self) -> Any:
        """It is not trained there.

        Raises:
            PolicyError: always.
        """
        raise PolicyError("a policy of vla_toolchain is not trained by LeRobot; use 'vla-train train', and export it.")

    def get_scheduler_preset(self) -> None:
        """It is not trained there."""
        return None
