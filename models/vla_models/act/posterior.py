"""The autoencoder's encoder: from the state and the expert's chunk to the distribution of z. Training alone has it.

Not here: z itself and what is made of it (`model.py`), its distance from the prior (`vla_training.objectives.act`).
"""

from __future__ import annotations

import torch
from torch import nn

from vla_models.act.config import ActConfig

__all__ = ["Posterior"]


class Posterior(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A transformer encoder over [CLS], the state and the actions; the first token becomes mean and log variance.

    Args:
        config: the sizes.
        state: features of the state.
        action: values of an action.
    """

    def __init__(self, config: ActConfig, state: int, action: int) -> None:
        super().__init__()
        c = config
        self.cls = nn.Parameter(torch.randn(1, c.width))
        self.state, self.action = nn.Linear(state, c.width), nn.Linear(action, c.width)
        self.places = nn.Parameter(torch.randn(2 + c.horizon, c.width))
        layer = nn.TransformerEncoderLayer(c.width, c.heads, c.hidden, c.dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, c.posterior_layers, enable_nested_tensor=False)
        for weight in self.encoder.parameters():  # TransformerEncoder copies one layer; as nn.Transformer begins
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        self.out = nn.Linear(c.width, 2 * c.latent)

    def forward(self, state: torch.Tensor, chunk: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of z, (N, latent) each.

        Args:
            state: (N, features).
            chunk: (N, horizon, action).
        """
        cls = self.cls.expand(len(state), 1, -1)
        tokens = torch.cat([cls, self.state(state)[:, None], self.action(chunk)], dim=1) + self.places
        mean, log_variance = self.out(self.encoder(tokens)[:, 0]).chunk(2, dim=1)
        return mean, log_variance
