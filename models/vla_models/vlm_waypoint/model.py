"""The network: a tower that is never trained, and a head that is.

Source: the waypoint model over SmolVLM's SigLIP tower for Waymo's end-to-end set (see the card for what differs).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vla_datasets.keys import ACTION, STATE, image
from vla_datasets.waymo.names import INTENT, one_hot
from vla_models.errors import PolicyError
from vla_models.policy import Batch, GraphSpec
from vla_models.siglip.folder import read_tower
from vla_models.siglip.pixels import network_pictures, window_pictures
from vla_models.siglip.vision import SiglipVision
from vla_models.vlm_waypoint.config import VlmWaypointConfig
from vla_models.vlm_waypoint.features import FeatureCache
from vla_models.vlm_waypoint.head import Head, Motion
from vla_models.vlm_waypoint.lora import ADAPTER, add_adapters, merged, train_adapters
from vla_models.vlm_waypoint.mirror import mirrored
from vla_models.vlm_waypoint.motion import motion_of, velocity_of
from vla_models.vlm_waypoint.names import (
    DECIDE,
    IMAGE_INPUT,
    INTENT_INPUT,
    INTENTS,
    MOTION,
    PAST_VALUES,
    SCORES,
    SEE,
    STATE_INPUT,
    TOKENS_INPUT,
)
from vla_models.vlm_waypoint.preprocess import state_rows

__all__ = ["VlmWaypoint"]

_TOWER = "tower."  # in front of the names of the tower's weights


class VlmWaypoint(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is the motion; see `motion.py`.

    The tower is in evaluation mode for ever, and has no gradient. Where its weights come from a folder, a saved policy
    names that and has none of them: they are many and never change.
    """

    def __init__(self, config: VlmWaypointConfig) -> None:
        super().__init__()
        self.config = config
        key = image(config.camera)
        self.windows = {key: (0,), STATE: (0,), INTENT: (0,), ACTION: (0,)}
        self.image_sides = {key: config.image_size}
        self.tower, self.head = SiglipVision(config), Head(config)
        self._cache: FeatureCache | None = None
        if config.tower:
            self._load_tower()
            self.register_state_dict_post_hook(_without_tower)
            self.register_load_state_dict_pre_hook(_no_other_tower)
            self.register_load_state_dict_post_hook(_no_tower_missing)
        self.tower.requires_grad_(False)
        if config.lora_rank:
            add_adapters(self.tower, config)
        self.train()

    def _load_tower(self) -> None:
        c = self.config
        tower = read_tower(Path(c.tower))
        if c.tower_id not in ("", tower.id):
            raise PolicyError(
                f"vlm_waypoint: the tower in {c.tower} is '{tower.id}'; the policy was trained with '{c.tower_id}'."
            )
        for name, value in tower.options.items():
            if getattr(c, name) != value:
                raise PolicyError(f"vlm_waypoint: '{name}' is {getattr(c, name)}; the tower in {c.tower} has {value}.")
        self.tower.load_state_dict(tower.weights)
        if c.feature_cache:
            self._cache = FeatureCache(Path(c.feature_cache), tower.id, (self.head.tokens, c.tower_width))

    def train(self, mode: bool = True) -> VlmWaypoint:
        """The head alone is ever in training mode, and the dropout of adapters."""
        super().train(mode)
        self.tower.eval()
        if self.config.lora_rank:
            train_adapters(self.tower, mode)
        return self

    def forward(
        self, picture: torch.Tensor, state: torch.Tensor, intent: torch.Tensor, tokens: torch.Tensor | None = None
    ) -> Motion:
        """(N, 20, 2), m/s; of K proposals (N, K, 20, 2) and their scores (N, K).

        Args:
            picture: (N, 3, S, S), with the tower's normalization.
            state: (N, 96), past states as deviations from the data's mean.
            intent: (N, 3).
            tokens: (N, T, width), what the tower says of the picture, where it is known: then it is not asked.
        """
        motion: Motion = self.head(self.tower(picture) if tokens is None else tokens, state, intent)
        return motion

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a frame: tower, with its adapters merged, and head; or `split`, one graph of each."""
        c = self.config
        outputs = (MOTION, SCORES) if c.proposals > 1 else (MOTION,)
        tower = merged(self.tower) if c.lora_rank else self.tower
        if c.split:
            handed = {TOKENS_INPUT: f"{DECIDE}.{TOKENS_INPUT}"}
            return (
                GraphSpec(SEE, _See(tower, self.head), self._seen, (TOKENS_INPUT,), handed),
                GraphSpec(DECIDE, self.head, self._known, outputs),
            )
        module = _Whole(tower, self.head) if c.lora_rank else self
        return (GraphSpec("policy", module, self._example, outputs),)

    def _seen(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        return {IMAGE_INPUT: self._example(batch, seed)[IMAGE_INPUT]}

    def _known(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        shape, generator = (batch, self.head.tokens, self.config.tower_width), torch.Generator().manual_seed(seed)
        found = self._example(batch, seed)
        tokens = torch.randn(shape, generator=generator)
        return {TOKENS_INPUT: tokens, **{name: found[name] for name in (STATE_INPUT, INTENT_INPUT)}}

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        side, generator = self.config.image_size, torch.Generator().manual_seed(seed)
        intents = torch.randint(0, INTENTS + 1, (batch,), generator=generator)
        return {
            IMAGE_INPUT: torch.rand(batch, 3, side, side, generator=generator) * 2 - 1,
            STATE_INPUT: torch.randn(batch, PAST_VALUES, generator=generator),
            INTENT_INPUT: torch.from_numpy(one_hot(intents.numpy())),
        }

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward`, with tokens if they are kept, and the motion (N, 20, 2) that was driven.

        Which frames are mirrored, in training, comes from torch's own generator.

        Raises:
            PolicyError: pictures are of another size, or an intent is none.
        """
        past, driven, intent = (samples[key][:, 0].cpu().numpy() for key in (STATE, ACTION, INTENT))
        try:
            one_hot(intent)  # before a mirror, which would take -1 for the last one
        except ValueError as error:
            raise PolicyError(f"vlm_waypoint: '{INTENT}' of the data: {error}.") from error
        pixels = window_pictures(self.config, samples)
        if self.training and self.config.mirror:
            turned = (torch.rand(len(past)) < self.config.mirror).numpy()
            pixels, past, intent, driven = mirrored(turned, pixels, past, intent, driven)
        inputs = {
            IMAGE_INPUT: network_pictures(self.config, pixels),
            STATE_INPUT: state_rows(self.config, past),
            INTENT_INPUT: one_hot(intent[:, 0]),
        }
        device = samples[ACTION].device
        if self._cache is not None:
            pictures, see = torch.from_numpy(inputs[IMAGE_INPUT]), _See(self.tower, self.head)

            def tokens(number: int) -> npt.NDArray[np.float32]:
                with torch.no_grad():
                    return np.asarray(see(pictures[number, None].to(device))[0].cpu())

            inputs[TOKENS_INPUT] = self._cache.rows(pixels, tokens)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(v)).to(device) for name, v in inputs.items()}
        return Batch(tensors, torch.from_numpy(motion_of(driven, velocity_of(past))).to(device))


class _See(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """From a picture to what the head needs of its tokens."""

    def __init__(self, tower: SiglipVision, head: Head) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.head.kept(self.tower(picture))
        return tokens


class _Whole(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What runs on the device of a tower with adapters."""

    def __init__(self, tower: SiglipVision, head: Head) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, picture: torch.Tensor, state: torch.Tensor, intent: torch.Tensor) -> Motion:
        found: Motion = self.head(self.tower(picture), state, intent)
        return found


def _without_tower(module: nn.Module, found: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [name for name in found if _is_of_tower(name.removeprefix(prefix))]:
        del found[name]


def _no_other_tower(module: nn.Module, found: dict[str, Any], prefix: str, *more: Any) -> None:
    """A saved policy with weights of a tower would change the one of the folder; the last argument gathers errors."""
    more[-1].extend(f"{name} is of its tower's folder" for name in found if _is_of_tower(name.removeprefix(prefix)))


def _no_tower_missing(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if not _is_of_tower(name)]


def _is_of_tower(name: str) -> bool:
    """A weight of the folder; those of adapters are the policy's own."""
    return name.startswith(_TOWER) and ADAPTER not in name
