"""The network: eyes, a prefix of video, telemetry and task, a frozen language model, and heads.

Source: SIM v0, the situation interpreter of an earlier system (see the card for what differs).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vla_datasets.keys import ACTION, image, is_pad
from vla_datasets.worlds.rover.names import TELEMETRY, WEIGHT
from vla_models.errors import PolicyError
from vla_models.policy import Batch, GraphSpec
from vla_models.sim_v0.backbone import backbone_id, random_backbone, read_backbone
from vla_models.sim_v0.config import SimV0Config
from vla_models.sim_v0.eyes import Eyes
from vla_models.sim_v0.names import (
    CONFIDENCE,
    FRAMES_INPUT,
    HISTORY_INPUT,
    IMAGE_INPUT,
    OUTPUTS,
    TELEMETRY_INPUT,
    TELEMETRY_VALUES,
    THERE_INPUT,
    WORDS,
)
from vla_models.sim_v0.preprocess import network_pictures, telemetry_rows
from vla_models.vlm_waypoint.features import FeatureCache

__all__ = ["SimV0"]

_BACKBONE = "backbone."  # in front of the names of the language model's weights


class SimV0(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` gives logits of risk, reason and action, the log-odds of being right, and the newest picture's row.

    Where the language model comes from a folder, a saved policy names that and has none of its weights.
    """

    def __init__(self, config: SimV0Config) -> None:
        super().__init__()
        c = self.config = config
        key = image(c.camera)
        self.windows = {key: range(1 - c.frames, 1), TELEMETRY: (0,), WEIGHT: (0,), ACTION: (0,)}
        self.image_sides = {key: c.image_size}
        self.backbone = self._named_backbone() if c.backbone else random_backbone(c)
        self.eyes = Eyes(c)
        self.projector = nn.Sequential(nn.Linear(c.features, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        half = c.width // 2
        self.telemetry = nn.Sequential(nn.Linear(TELEMETRY_VALUES, half), nn.GELU(), nn.Linear(half, c.width))
        self.task = nn.Parameter(torch.randn(1, 1, c.width))
        sizes = {**{name: len(words) for name, words in WORDS.items()}, CONFIDENCE: 1}
        self.heads = nn.ModuleDict({name: nn.Linear(c.width, size) for name, size in sizes.items()})
        self.eyes.requires_grad_(not c.eyes_frozen)
        self.keeps_what_was_learnt = "eyes_frozen" if c.eyes_frozen else ""  # a run must begin with such weights
        self._cache: FeatureCache | None = None

    def _named_backbone(self) -> nn.Module:
        c, folder = self.config, Path(self.config.backbone)
        found = backbone_id(folder)
        if c.backbone_id not in ("", found):
            raise PolicyError(
                f"sim_v0: the language model in {folder} is '{found}'; the policy was trained with '{c.backbone_id}'."
            )
        backbone = read_backbone(folder, c.layers, c.video_tokens + 2)
        if backbone.model.config.hidden_size != c.width:
            raise PolicyError(
                f"sim_v0: 'width' is {c.width}; the language model in {folder} has {backbone.model.config.hidden_size}."
            )
        self.register_state_dict_post_hook(_without_backbone)
        self.register_load_state_dict_pre_hook(_no_other_backbone)
        self.register_load_state_dict_post_hook(_no_backbone_missing)
        return backbone

    def train(self, mode: bool = True) -> SimV0:
        """Eyes that stay as they are see as they will on a robot."""
        super().train(mode)
        if self.config.eyes_frozen:
            self.eyes.eval()
        return self

    def forward(
        self,
        picture: torch.Tensor,
        history: torch.Tensor,
        telemetry: torch.Tensor,
        frames: torch.Tensor | None = None,
        there: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Logits (N, 4), (N, 4) and (N, 6), log-odds (N, 1) and the row (N, d).

        Args:
            picture: (N, 3, S, S), the newest one.
            history: (N, F - 1, d), rows of those before it.
            telemetry: (N, 8).
            frames: in training, all pictures (N, F, 3, S, S) or what the eyes said of them (N, F, dv): then picture and
                history are not looked at.
            there: in training, (N, F), 0 where there was no picture.
        """
        if frames is None or there is None:
            row = self.projector(self.eyes(picture))
            rows = torch.cat([history, row[:, None]], dim=1)
        else:
            seen = frames if frames.ndim == 3 else self.eyes(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
            rows = self.projector(seen) * there[..., None]
            row = rows[:, -1]
        video = [part.mean(dim=1, keepdim=True) for part in rows.split(list(self.config.segments), dim=1)]
        task = self.task.expand(len(row), -1, -1)
        prefix = torch.cat([*video, self.telemetry(telemetry)[:, None], task], dim=1)
        hidden = self.backbone(prefix)
        return *(self.heads[name](hidden) for name in (*WORDS, CONFIDENCE)), row

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a frame: the eyes see the newest picture alone."""
        return (GraphSpec("policy", self, self._example, OUTPUTS),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        c, generator = self.config, torch.Generator().manual_seed(seed)
        return {
            IMAGE_INPUT: torch.rand(batch, 3, c.image_size, c.image_size, generator=generator) * 2 - 1,
            HISTORY_INPUT: torch.randn(batch, c.frames - 1, c.width, generator=generator) * 0.1,
            TELEMETRY_INPUT: torch.randn(batch, TELEMETRY_VALUES, generator=generator),
        }

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The inputs of `forward`; to learn: indices of risk, reason and action, and the weight, float32 (N, 4)."""
        c, key = self.config, image(self.config.camera)
        pixels = samples[key].cpu().numpy()
        if pixels.shape[2:] != (c.image_size, c.image_size, 3):
            raise PolicyError(
                f"sim_v0: '{key}' has pictures of {pixels.shape[2]} x {pixels.shape[3]}; the eyes take {c.image_size} "
                f"x {c.image_size}. Give 'image_size'."
            )
        labels, counts = samples[ACTION][:, 0].cpu(), torch.tensor([len(words) for words in WORDS.values()])
        if bool(((labels < 0) | (labels >= counts)).any()):
            raise PolicyError(
                f"sim_v0: '{ACTION}' of the data has {labels.min()} to {labels.max()}; it must be indices of "
                f"{', '.join(WORDS)}, from 0 to below {', '.join(map(str, counts.tolist()))}."
            )
        device = samples[ACTION].device
        pictures = torch.from_numpy(network_pictures(pixels)).to(device)
        there = (~samples[is_pad(key)]).float()
        frames = self._kept(pixels, pictures) if c.feature_cache else pictures
        telemetry = telemetry_rows(c, samples[TELEMETRY][:, 0].cpu().numpy())
        inputs = {
            IMAGE_INPUT: pictures[:, -1].contiguous(),
            HISTORY_INPUT: self._history(frames, there),
            TELEMETRY_INPUT: torch.from_numpy(telemetry).to(device),
            FRAMES_INPUT: frames,
            THERE_INPUT: there,
        }
        return Batch(inputs, torch.cat([samples[ACTION][:, 0].float(), samples[WEIGHT][:, 0].float()], dim=1))

    def _history(self, frames: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Rows (N, F - 1, d) of all but the newest picture, for calibration; training makes its own, with gradients."""
        if self.training:
            return frames.new_zeros(len(frames), self.config.frames - 1, self.config.width)
        with torch.no_grad():
            older = frames[:, :-1]
            seen = older if older.ndim == 3 else self.eyes(older.flatten(0, 1)).unflatten(0, older.shape[:2])
            rows: torch.Tensor = self.projector(seen) * there[:, :-1, None]
        return rows

    def _kept(self, pixels: npt.NDArray[np.uint8], pictures: torch.Tensor) -> torch.Tensor:
        """What the eyes say of pictures, (N, F, dv); each picture is looked at once, by whichever run."""
        if self._cache is None:  # the weights are loaded by now
            self._cache = FeatureCache(Path(self.config.feature_cache), self.eyes.digest(), (1, self.config.features))
        flat = pictures.flatten(0, 1)

        def look(number: int) -> npt.NDArray[np.float32]:
            with torch.no_grad():
                found: npt.NDArray[np.float32] = self.eyes(flat[number, None]).cpu().numpy()
            return found

        rows = self._cache.rows(pixels.reshape(-1, *pixels.shape[2:]), look)
        return torch.from_numpy(rows).to(pictures.device).reshape(*pixels.shape[:2], -1)


def _without_backbone(module: nn.Module, found: dict[str, Any], prefix: str, metadata: Any) -> None:
    for name in [name for name in found if name.startswith(f"{prefix}{_BACKBONE}")]:
        del found[name]


def _no_other_backbone(module: nn.Module, found: dict[str, Any], prefix: str, *more: Any) -> None:
    """A saved policy with weights of a language model would change the folder's; the last argument gathers errors."""
    more[-1].extend(
        f"{name} is of its language model's folder" for name in found if name.startswith(f"{prefix}{_BACKBONE}")
    )


def _no_backbone_missing(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = [name for name in keys.missing_keys if not name.startswith(_BACKBONE)]
