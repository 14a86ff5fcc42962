"""What is seen in the last steps as one vector, and the U-Net that it and the time modulate; all steps of the sampler.

Each image becomes points: of every map of features the middle of its softmax (Finn et al. 2016, arXiv 1509.06113).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vla_datasets.keys import ACTION
from vla_models.chunks.names import ACTIONS
from vla_models.lerobot.backbone import CHANNELS, ResNet, feature_size
from vla_models.lerobot.batches import observed_inputs, random_inputs, window_keys
from vla_models.lerobot_diffusion.config import LerobotDiffusionConfig
from vla_models.lerobot_diffusion.names import noise_shapes
from vla_models.lerobot_diffusion.unet import UNet
from vla_models.policy import Batch, GraphSpec
from vla_models.sampling.clipped_steps import SCHEDULES, ClippedSampler, clipped_steps

__all__ = ["LerobotDiffusion"]

_LONGEST = 10_000.0  # period of the time's waves, in 2 pi steps


class Points(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images to what is looked for in them: where, from -1 to 1, and what follows of it.

    An attention of one query a point, over pixels of features; what it reads is where they are.
    """

    def __init__(self, config: LerobotDiffusionConfig, size: tuple[int, ...]) -> None:
        super().__init__()
        rows, columns = feature_size(size)
        self.trunk = ResNet(config.backbone, grouped=config.group_norm)
        self.queries = nn.Parameter(torch.randn(config.image_points, CHANNELS[-1]))
        down, across = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (rows, columns)), indexing="ij")
        self.register_buffer("grid", torch.stack([across, down], dim=-1).flatten(0, 1))
        self.register_buffer("nothing", torch.zeros(CHANNELS[-1], 2), persistent=False)
        self.out = nn.Linear(2 * config.image_points, 2 * config.image_points)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) to (N, 2 points)."""
        keys = self.trunk(image).flatten(2).transpose(1, 2)
        values = keys @ self.nothing + self.grid  # computed, as any attention's
        where = torch.softmax(self.queries @ keys.transpose(1, 2), dim=-1) @ values
        return torch.relu(self.out(where.flatten(1)))


class LerobotDiffusion(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is what the network says of a chunk on its way: its noise, or the action."""

    def __init__(self, config: LerobotDiffusionConfig) -> None:
        super().__init__()
        self.config = c = config
        self.windows = window_keys(c.observed, c.history, range(1 - c.history, 1 - c.history + c.horizon))
        sizes = [feature.seen[1:] for feature in c.observed.values() if feature.is_image]
        self.eyes = nn.ModuleList(Points(c, size) for size in (sizes[:1] if c.shared_backbone else sizes))
        seen = sum(2 * c.image_points if f.is_image else f.shape[0] for f in c.observed.values())
        self.time_up = nn.Linear(c.time_width, 4 * c.time_width)
        self.time_down = nn.Linear(4 * c.time_width, c.time_width)
        shape = (c.kernel, c.groups, seen * c.history, c.time_width, c.film_scale)
        self.unet = UNet(c.does.shape[0], c.channels, *shape)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(N, horizon, actions) of what is seen, in the config's order, the chunk on its way, and times (N,)."""
        *observation, chunk, time = inputs
        return self.predict(chunk, self.time_rows(time), self.condition(*observation))

    def condition(self, *observation: torch.Tensor) -> list[torch.Tensor]:
        """Of normalized vectors (N, history * n) and images (N, history * 3, H, W) how each block is modulated."""
        c = self.config
        steps = [
            dict(zip(c.inputs, row, strict=True))
            for row in zip(*(x.chunk(c.history, 1) for x in observation), strict=True)
        ]
        seen = nn.functional.mish(torch.cat([part for step in steps for part in self._step(step)], dim=1))
        return [block.seen(seen) for block in self.unet.blocks()]

    def _step(self, step: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """State, images, state of the environment, in the order in which LeRobot has them."""
        vectors = [tensor for tensor in step.values() if tensor.ndim == 2]
        images = [tensor for tensor in step.values() if tensor.ndim == 4]
        eyes = [self.eyes[0 if self.config.shared_backbone else number] for number in range(len(images))]
        return [vectors[0], *(eye(image) for eye, image in zip(eyes, images, strict=True)), *vectors[1:]]

    def time_rows(self, times: torch.Tensor) -> torch.Tensor:
        """Of times (T,) how the blocks are modulated, (T, channels of all)."""
        half = self.config.time_width // 2
        periods = torch.exp(torch.arange(half, device=times.device) * -(math.log(_LONGEST) / (half - 1)))
        angles = times[:, None] * periods
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        known = nn.functional.mish(self.time_down(nn.functional.mish(self.time_up(waves))))
        return torch.cat([block.time(known) for block in self.unet.blocks()], dim=1)

    def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: list[torch.Tensor]) -> torch.Tensor:
        """Of chunks (N, horizon, actions) on their way."""
        rows = time_row.split([seen.shape[1] for seen in condition], dim=1)
        said: torch.Tensor = self.unet(x, [seen + row for seen, row in zip(condition, rows, strict=True)])
        return said

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One graph, one call a chunk: what is seen once, then all steps."""
        c = self.config
        noises = SCHEDULES[c.schedule](c.training_steps, c.noise_first, c.noise_last)
        steps = clipped_steps(c.sampler, noises, c.sampler_steps, c.says == "noise")
        sampler = ClippedSampler(self, steps, c.reach)
        return (GraphSpec("policy", sampler, self._example, (ACTIONS,)),)

    def _example(self, batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        found = random_inputs(self.config.observed, self.config.history, batch, generator)
        noise = noise_shapes(self.config)
        return found | {n: torch.randn(batch, *shape, generator=generator) for n, shape in noise.items()}

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The network's inputs, noise (from torch's own generator), and the normalized chunk (N, horizon, actions)."""
        chunk = samples[ACTION]
        target = torch.from_numpy(self.config.does.normalized(chunk.cpu().numpy())).to(chunk.device)
        noise = {name: torch.randn(len(chunk), *shape) for name, shape in noise_shapes(self.config).items()}
        return Batch({**observed_inputs(self.config.observed, samples), **noise}, target)
