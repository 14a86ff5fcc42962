"""Tokens one after another, each the likeliest behind those before it, whose keys and values are kept.

It is a graph of its own, all of which runs on the device: from logits to the next token an ArgMax, whose number is the
row of a table of embeddings. Not here: how it is exported (`greedy_onnx.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vla_models.flow_autoregressive.vocabulary import COORDINATES

__all__ = ["GreedyDecoder"]


class GreedyDecoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward(*observation)` is the chunk that the tokens of a `FlowAutoregressive` say."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *observation: torch.Tensor) -> torch.Tensor:
        """(N, horizon, 2): the middles of the bins."""
        policy, found = self.policy, []
        past = policy.flow.condition(*observation)
        x = policy.first(len(observation[0]))
        for place in range(COORDINATES * policy.config.horizon):
            said, past = policy.said(x, past, policy.places(slice(place, place + 1)))
            coordinate = place % COORDINATES
            bins = policy.vocabulary.logits(said, coordinate).argmax(-1)
            found.append(nn.functional.embedding(bins, policy.centres))
            x = policy.vocabulary.embedded(bins, coordinate)
        return torch.cat(found, dim=1).reshape(len(x), -1, COORDINATES)
