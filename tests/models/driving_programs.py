"""Driving policies with random weights, as programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import vlac
from vla_isa.program import Program
from vla_models.driving_tiles.gates import live_share
from vla_models.export_onnx import export_onnx
from vla_models.registry import find_policy

__all__ = ["SMALL", "live_share", "made", "program_of", "torch"]

SMALL: dict[str, dict[str, Any]] = {
    "driving_vgg": {"channels": (16, 16), "strides": (2, 1), "image_size": 16, "measure_features": 8, "hidden": (16,)},
    "driving_tiles": {
        "channels": (32, 48),
        "strides": (2, 2),
        "image_size": 16,
        "measure_features": 8,
        "fused": 16,
        "branch": (16,),
    },
}


def made(name: str, options: dict[str, Any]) -> Any:
    """A policy; with gates, each command has some of its own off."""
    torch.manual_seed(0)
    spec = find_policy(name)
    policy: Any = spec.make(spec.configured(options))
    if getattr(policy, "gates", None) is not None:
        with torch.no_grad():
            policy.gates.hidden.weight.normal_()
            policy.gates.logits.weight.normal_()
            policy.gates.logits.bias.fill_(0.3)
    return policy.eval()


def program_of(policy: Any, hardware: str, folder: Path) -> tuple[Program, dict[str, np.ndarray]]:
    """The program without host parts, and inputs of which the first are one frame."""
    export_onnx(policy, folder / "m.onnx")
    frames = [policy.example_inputs(1, seed) for seed in range(8)]
    inputs = {name: torch.cat([frame[name] for frame in frames]).numpy() for name in frames[0]}
    return vlac.compile_model(folder / "m.onnx", hardware, vlac.CompileOptions(calibration=inputs)), inputs
