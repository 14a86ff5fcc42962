"""Tokens of actions: each coordinate's bins, what they are for the network, and how it says one."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["COORDINATES", "Vocabulary", "bin_centres", "bins_of"]

COORDINATES = 2  # of an action, x and y, which is the order of its tokens


def bins_of(chunk: torch.Tensor, count: int, reach: float) -> torch.Tensor:
    """The bins (N, 2 * horizon) of a chunk (N, horizon, 2): `count` of each coordinate, evenly from -reach to reach."""
    share = (chunk.flatten(1) / reach + 1) / 2
    return (share * count).floor().clamp(0, count - 1).long()


def bin_centres(count: int, reach: float) -> torch.Tensor:
    """What each of the bins means: (count, 1)."""
    return ((torch.arange(count)[:, None] + 0.5) / count * 2 - 1) * reach


class Vocabulary(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A row for each bin of each coordinate, which is its embedding and the weights of its logit.

    Embeddings are larger than weights by the root of the width, as in Gemma (Gemma Team 2024, arXiv 2403.08295).
    """

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        self.larger = width**0.5
        self.rows = nn.Parameter(torch.randn(COORDINATES, bins, width) / self.larger)

    def embedded(self, bins: torch.Tensor, coordinate: int) -> torch.Tensor:
        """Of bins (N, tokens) of one coordinate: (N, tokens, width)."""
        x: torch.Tensor = nn.functional.embedding(bins, self.rows[coordinate] * self.larger)
        return x

    def logits(self, x: torch.Tensor, coordinate: int) -> torch.Tensor:
        """Of what is said (N, tokens, width) of one coordinate: (N, tokens, bins)."""
        return x @ self.rows[coordinate].T

    def embedded_chunk(self, bins: torch.Tensor) -> torch.Tensor:
        """Of bins (N, tokens) of the coordinates in turn: (N, tokens, width)."""
        return _in_turn([self.embedded(bins[:, c::COORDINATES], c) for c in range(COORDINATES)])

    def chunk_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Of what is said (N, tokens, width) of the coordinates in turn: (N, tokens, bins)."""
        return _in_turn([self.logits(x[:, c::COORDINATES], c) for c in range(COORDINATES)])


def _in_turn(each: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(each, dim=2).flatten(1, 2)
