"""A Llama whose rows are written in other axes, so that no channel is much larger than the rest: for 8 bits.

An RMS norm does not mind in which axes a row is written, if its weights are in the layers behind it. So layers that
read rows take them turned, those that write rows turn them, and what the model says stays the same. Ashkboos et al.,
QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs, 2404.00456.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

__all__ = ["turn"]


def turn(model: Any, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn a Llama's weights in place.

    Args:
        model: a `LlamaModel`, float32.
        seed: of the axes, which are drawn at random.

    Returns:
        Matrices (d, d): what rows in front of the model are multiplied by, and what its last rows are.
    """
    width = model.config.hidden_size
    drawn = torch.randn(width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    axes = torch.linalg.qr(drawn)[0]
    with torch.no_grad():
        for layer in model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            _reading(layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj), axes)
            _reading(layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj), axes)
            for linear in (attention.o_proj, mlp.down_proj):
                linear.weight.copy_(axes.T @ linear.weight.double())
                if linear.bias is not None:
                    linear.bias.copy_(linear.bias.double() @ axes)
        back = axes.T * model.norm.weight.double()
        model.norm.weight.fill_(1)
    return axes.float(), back.float()


def _reading(norm: Any, linears: Iterable[Any], axes: torch.Tensor) -> None:
    """Layers behind a norm take turned rows, and the norm's weights."""
    for linear in linears:
        linear.weight.copy_(linear.weight.double() * norm.weight.double() @ axes)
    norm.weight.fill_(1)
