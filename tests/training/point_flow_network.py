"""The two graphs of the throw-away flow policy; see `point_flow.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from point_flow import STEPS, PointFlowConfig
from point_mass import CHUNK

from vla_datasets.keys import ACTION, STATE, is_pad
from vla_models.policy import Batch, GraphSpec


class Prefix(torch.nn.Module):  # type: ignore[misc]
    """What every step reads of the state."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, hidden)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layer(state))


class Step(torch.nn.Module):  # type: ignore[misc]
    """One Euler step: actions (N, 8), time (N, 1) and the prefix's features."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(hidden + 2 * CHUNK + 1, hidden)
        self.speed = torch.nn.Linear(hidden, 2 * CHUNK)

    def forward(
        self, actions: torch.Tensor, time: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.layer(torch.cat([actions, time, features], dim=1)))
        return actions + self.speed(x) / STEPS, time + 1 / STEPS


class PointFlow(torch.nn.Module):  # type: ignore[misc]
    """Prefix and step; trained by flow matching."""

    windows = {STATE: (0,), ACTION: tuple(range(CHUNK))}  # noqa: RUF012

    def __init__(self, config: PointFlowConfig) -> None:
        super().__init__()
        self.config, self.prefix, self.step = config, Prefix(config.hidden), Step(config.hidden)

    def forward(self, state: torch.Tensor, actions: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return (self.step(actions, time, self.prefix(state))[0] - actions) * STEPS

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        wanted = samples[ACTION].float().flatten(1)
        draw = torch.Generator().manual_seed(len(wanted))
        noise, time = torch.randn(wanted.shape, generator=draw), torch.rand(len(wanted), 1, generator=draw)
        inputs = {"state": samples[STATE][:, 0].float(), "actions": noise + time * (wanted - noise), "time": time}
        return Batch(inputs, wanted - noise, samples[is_pad(ACTION)].repeat_interleave(2, 1))

    def graphs(self) -> tuple[GraphSpec, ...]:
        hidden = self.config.hidden

        def state(batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
            return {"state": torch.randn(batch, 4, generator=torch.Generator().manual_seed(seed))}

        def moment(batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
            draw = torch.Generator().manual_seed(seed)
            return {
                "actions": torch.randn(batch, 2 * CHUNK, generator=draw),
                "time": torch.rand(batch, 1, generator=draw),
                "features": torch.rand(batch, hidden, generator=draw),
            }

        carries = {"next_actions": "step.actions", "next_time": "step.time"}
        return (
            GraphSpec("prefix", self.prefix, state, ("kept",), {"kept": "step.features"}),
            GraphSpec("step", self.step, moment, ("next_actions", "next_time"), carries),
        )
