"""The policy itself, as LeRobot plays it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lerobot.configs.types import FeatureType
from lerobot.policies.pretrained import PreTrainedPolicy

from vla_models.errors import ObservationError, PolicyError
from vla_training.export_lerobot.names import TYPE
from vla_training.export_lerobot.plugin.configuration_vla_toolchain import VlaToolchainConfig
from vla_training.export_lerobot.rows import Rows

__all__ = ["VlaToolchainPolicy"]


class VlaToolchainPolicy(PreTrainedPolicy):  # type: ignore[misc]  # LeRobot is untyped here
    """Our preprocessor, network and chunks; each row of a batch is an episode, which `reset` ends.

    Args:
        config: of the folder.
        others: what LeRobot's factory adds of a data set; nothing of it is needed.

    Raises:
        PolicyError: the config is not one of a policy.
    """

    config_class = VlaToolchainConfig
    name = TYPE

    def __init__(self, config: VlaToolchainConfig, **others: Any) -> None:
        super().__init__(config)
        config.validate_features()
        spec, ours = config.made()
        self.model = spec.make(ours)
        shapes = {key: tuple(feature.shape) for key, feature in config.input_features.items()}
        pictures = frozenset(k for k, feature in config.input_features.items() if feature.type is FeatureType.VISUAL)
        self._rows = Rows(spec, ours, self.model, shapes, pictures, config.seed)

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        """LeRobot's, which by default goes on where weights are missing.

        Raises:
            PolicyError: the weights are damaged, or not those of the config.
        """
        from safetensors import SafetensorError

        try:
            return super()._load_as_safetensor(model, model_file, map_location, strict=True)
        except (OSError, RuntimeError, SafetensorError) as error:
            where = Path(model_file)
            raise PolicyError(f"{where}: the weights are not those of config.json: {str(error)[:400]}") from error

    def reset(self) -> None:
        """The episodes end; the next batch begins others."""
        self._rows.reset()

    def select_action(self, batch: dict[str, Any], **others: Any) -> torch.Tensor:
        """The action of each row, (N, values).

        Args:
            batch: tensors by key; pictures float (N, 3, H, W) in [0, 1]; `task`, a text or one for each row.
            others: of LeRobot's policies; none is of use.

        Raises:
            ObservationError: see `Rows.act`, or the actions are not those of `output_features`.
        """
        return self._checked(self._rows.act(batch))

    def predict_action_chunk(self, batch: dict[str, Any], **others: Any) -> torch.Tensor:
        """What each row would do until the network is asked again, (N, steps, values); see `select_action`.

        Raises:
            ObservationError: likewise.
        """
        return self._checked(self._rows.chunk(batch))

    def forward(self, batch: dict[str, Any]) -> Any:
        """It is not trained here.

        Raises:
            PolicyError: always.
        """
        return self.config.get_optimizer_preset()

    def get_optim_params(self) -> Any:
        """It is not trained here.

        Raises:
            PolicyError: always.
        """
        return self.config.get_optimizer_preset()

    def _checked(self, actions: torch.Tensor) -> torch.Tensor:
        """LeRobot puts the features of its environment in the place of the policy's."""
        wanted = tuple(self.config.action_feature.shape)
        if actions.shape[-1] != torch.Size(wanted).numel():
            raise ObservationError(f"The policy's actions are {actions.shape[-1]} numbers; LeRobot wants {wanted}.")
        return actions.to(self.config.device)
