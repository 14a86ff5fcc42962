"""The network: pi-zero, and the expert of what is seen once more, over the chunk's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from vla_models.attention_blocks import allowed, spans
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.flow_autoregressive.config import FlowAutoregressiveConfig
from vla_models.flow_autoregressive.greedy import GreedyDecoder
from vla_models.flow_autoregressive.names import AUTOREGRESSIVE, FLOW, TOKENS
from vla_models.flow_autoregressive.vocabulary import Vocabulary, bin_centres, bins_of
from vla_models.pi_zero.experts import Cache, RmsNorm, rotary
from vla_models.pi_zero.model import PiZero
from vla_models.policy import Batch, GraphSpec
from vla_models.pusht.names import ACTION_UNIT
from vla_models.sampling.euler import EulerSampler

__all__ = ["FlowAutoregressive", "FlowAutoregressiveOutput"]


class FlowAutoregressiveOutput(NamedTuple):
    """Of a batch of N, in training.

    Attributes:
        velocity: (N, horizon, 2), of the chunk on its way.
        logits: (N, 2 * horizon, bins), of each token behind those before it.
    """

    velocity: torch.Tensor
    logits: torch.Tensor


class FlowAutoregressive(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """`forward` is both heads in training; each is a graph of its own."""

    def __init__(self, config: FlowAutoregressiveConfig) -> None:
        super().__init__()
        self.config = c = config
        self.flow = PiZero(config)
        self.windows = self.flow.windows
        self.start = nn.Parameter(torch.randn(c.prefix_width))
        self.vocabulary = Vocabulary(c.bins, c.prefix_width)
        self.norm = RmsNorm(c.prefix_width)
        self.reach = c.reach / ACTION_UNIT
        self.register_buffer("centres", bin_centres(c.bins, self.reach), persistent=False)
        blocks = c.attention_blocks()
        at, mask = spans(blocks), torch.from_numpy(allowed(blocks))
        mine, other = at[TOKENS], at[ACTIONS]
        # both heads' places begin behind the state, as neither sees the other
        for part, table in zip(("cos", "sin"), rotary(other.start, mine.stop - mine.start, c.head_width), strict=True):
            self.register_buffer(f"token_{part}", table, persistent=False)
        seen = torch.cat([mask[mine, : other.start], mask[mine, mine]], dim=1)
        self.register_buffer("mask", seen, persistent=False)

    def forward(
        self, corners: torch.Tensor, state: torch.Tensor, noise: torch.Tensor, tokens: torch.Tensor, time: torch.Tensor
    ) -> FlowAutoregressiveOutput:
        """Both heads behind one prefix.

        Args:
            corners: (N, 8, features), see `vla_models.pusht.observation`.
            state: (N, features).
            noise: (N, horizon, 2), the chunk on its way.
            tokens: (N, 2 * horizon), the bins of the expert's chunk.
            time: (N,) in [0, 1], how far the chunk is on its way.
        """
        past = self.flow.condition(corners, state)
        velocity = self.flow.predict(noise, self.flow.time_rows(time)[:, None], past)
        before = self.vocabulary.embedded_chunk(tokens)[:, :-1]
        x = torch.cat([self.first(len(tokens)), before], dim=1)
        said, _ = self.said(x, past, self.places(slice(None)), self.mask)
        return FlowAutoregressiveOutput(velocity, self.vocabulary.chunk_logits(said))

    def first(self, count: int) -> torch.Tensor:
        """What stands where the first token is said: (count, 1, width)."""
        return self.start.expand(count, 1, -1)

    def places(self, tokens: slice) -> Cache:
        """Cosines and sines of the places of these tokens."""
        return self.token_cos[tokens], self.token_sin[tokens]

    def said(
        self, x: torch.Tensor, past: tuple[Cache, ...], places: Cache, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, tuple[Cache, ...]]:
        """What the expert says behind tokens (N, tokens, width), in front of the logits; keys and values up to them."""
        x, past = self.flow.prefix_expert(x, places, past, mask)
        return self.norm(x), past

    def graphs(self) -> tuple[GraphSpec, ...]:
        """One of each head: one call is a chunk."""
        flow, steps = self.flow, self.config.sampler_steps
        (example,) = (graph.example for graph in flow.graphs())

        def observation(batch: int = 1, seed: int = 0) -> dict[str, torch.Tensor]:
            return {name: value for name, value in example(batch, seed).items() if name != NOISE}

        def joined() -> Any:
            from vla_models.flow_autoregressive.greedy_onnx import greedy_onnx  # exporting alone needs what it imports

            return greedy_onnx(self, observation())

        return (
            GraphSpec(FLOW, EulerSampler(flow, steps), example, (ACTIONS,)),
            GraphSpec(AUTOREGRESSIVE, GreedyDecoder(self), observation, (ACTIONS,), to_onnx=joined),
        )

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """pi-zero's batch, and the bins of its chunk."""
        batch = self.flow.prepare(samples)
        return Batch({**batch.inputs, TOKENS: bins_of(batch.target, self.config.bins, self.reach)}, batch.target)
