"""Inputs of a Diffusion Policy that are drawn."""

from __future__ import annotations

from vla_models.chunks.names import NOISE
from vla_models.lerobot_diffusion.config import LerobotDiffusionConfig

__all__ = ["STEP_NOISE", "noise_shapes"]

STEP_NOISE = "step_noise"  # (N, steps - 1, horizon, actions): what DDPM adds behind each step but the last


def noise_shapes(config: LerobotDiffusionConfig) -> dict[str, tuple[int, ...]]:
    """Shapes without the batch, by name."""
    chunk = (config.horizon, *config.does.shape)
    draws = config.sampler == "DDPM" and config.sampler_steps > 1
    return {NOISE: chunk} | ({STEP_NOISE: (config.sampler_steps - 1, *chunk)} if draws else {})
