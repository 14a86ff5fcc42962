"""From the tower's tokens, the past and the intent to a motion."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import nn

from vla_datasets.waymo.names import FUTURE
from vla_models.vlm_waypoint.config import VlmWaypointConfig
from vla_models.vlm_waypoint.names import INTENTS, PAST_VALUES

__all__ = ["AttentionPool", "Head", "Motion"]

Motion: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]

_KNOWN = PAST_VALUES + INTENTS


class AttentionPool(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One row of all tokens: a query that past and intent make asks them, so that what is where counts."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head = width // heads
        self.query, self.key, self.value = nn.Linear(_KNOWN, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Of tokens (N, T, width) and past and intent (N, 99): (N, width)."""
        rows = (self.query(known)[:, None], self.key(tokens), self.value(tokens))
        q, k, v = (row.unflatten(2, (-1, self.head)).transpose(1, 2) for row in rows)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        pooled: torch.Tensor = self.out(found.transpose(1, 2).flatten(1))
        return pooled


class Head(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Pooled tokens, past and intent through layers with a norm, a GELU and dropout each."""

    def __init__(self, config: VlmWaypointConfig) -> None:
        super().__init__()
        c = config
        self.tokens = c.tokens if c.pooling == "attention" else 1  # that it needs to know
        self.pool = AttentionPool(c.tower_width, c.pooling_heads) if c.pooling == "attention" else None
        layers: list[nn.Module] = []
        width = c.tower_width + _KNOWN
        for hidden in c.hidden:
            layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(c.dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, c.proposals * 2 * FUTURE))
        self.scores = nn.Linear(width, c.proposals) if c.proposals > 1 else None

    def kept(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of the tower's tokens (N, T, width) what `forward` says the same of: all, or their mean as one."""
        return tokens.mean(dim=1, keepdim=True) if self.pool is None else tokens

    def forward(self, tokens: torch.Tensor, state: torch.Tensor, intent: torch.Tensor) -> Motion:
        """(N, 20, 2), or (N, K, 20, 2) and scores (N, K).

        Args:
            tokens: (N, T, width).
            state: (N, 96).
            intent: (N, 3).
        """
        known = torch.cat([state, intent], dim=1)
        pooled = tokens.mean(dim=1) if self.pool is None else self.pool(tokens, known)
        x = self.layers[:-1](torch.cat([pooled, known], dim=1))
        motion: torch.Tensor = self.layers[-1](x)
        if self.scores is None:
            one: torch.Tensor = motion.unflatten(1, (FUTURE, 2))
            return one
        return motion.unflatten(1, (-1, FUTURE, 2)), self.scores(x)
