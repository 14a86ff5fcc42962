"""Quantization-aware training takes every registered policy: its data, its calibration, one step, its export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_models.errors import PolicyError
from vla_models.registry import POLICIES

REFUSED = {
    "babyai_moe": r"Gather '.*' cannot be trained as the device computes it",
    "mlp_policy": "no graph that repeats or carries state; the compiler makes this one of 10 rounds",
    "pi_zero": "no graph that repeats or carries state; the compiler makes this one of 10 rounds",
    "flow_autoregressive": r"has 2 graphs \(flow, autoregressive\); QAT takes policies of one",
    "rdt": "QAT takes no nodes that run on the host",
    "pi_zero_pixels": "no graph that repeats or carries state; the compiler makes this one of 10 rounds",
    "sim_v0": r"Split '.*' cannot be trained as the device computes it",
    "siglip_tower": r"Add '.*' cannot be trained as the device computes it",
    "vlm_waypoint": r"Add '.*' cannot be trained as the device computes it",
    "act": r"Concat '.*' cannot be trained as the device computes it",
}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((spec.name, {}) for spec in POLICIES if spec.name not in REFUSED),
    ("driving_vgg", {"measure_features": 0}),
    ("driving_tiles", {"pooled": True}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_one_step(name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qat_steps import Frames, calibrate, made, quantize_policy, samples_of, saved, step

    policy = made(name, **options)
    samples = samples_of(policy)
    monkeypatch.setattr(calibrate, "load_windows", lambda *arguments, **named: Frames(samples))
    arrays = calibrate.calibration_arrays(tmp_path, saved(policy, name, tmp_path), 16)
    assert set(arrays) == set(policy.graphs()[0].inputs())
    quantized = quantize_policy(policy, name, arrays)
    for attribute in ("windows", "image_sides", "tile"):
        assert getattr(quantized, attribute, None) == getattr(policy, attribute, None), attribute
    assert step(quantized, name, samples) > 0


def test_its_driving_network_exports(tmp_path: Path) -> None:
    from qat_steps import made, quantize_policy

    from vla_models.export_onnx import export_onnx

    policy = made("driving_tiles")
    arrays = {key: value.numpy() for key, value in policy.example_inputs(16).items()}
    quantized = quantize_policy(policy, "driving_tiles", arrays)
    assert export_onnx(quantized, tmp_path / "m.onnx") <= quantized.graphs()[0].tolerance


def test_tiles_are_the_pixels_that_they_stand_for() -> None:
    from qat_steps import made, quantize_policy, samples_of, tile_table, torch

    policy = made("babyai_film")
    arrays = {key: value.numpy() for key, value in policy.graphs()[0].example(16).items()}
    quantized = quantize_policy(policy, "babyai_film", arrays)
    (camera,) = (key for key in policy.windows if "image" in key)
    samples = {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in samples_of(policy, 2).items()}
    table = torch.randint(0, 256, (9, 8, 8, 3), dtype=torch.uint8)
    numbers = torch.randint(0, 9, (2, 4, 7, 7)).to(torch.uint16)
    pixels = torch.zeros(2, 4, 56, 56, 3, dtype=torch.uint8)
    for place in np.ndindex(2, 4, 7, 7):
        n, frame, row, column = place
        pixels[n, frame, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = table[int(numbers[place])]
    tiled = quantized.prepare({**samples, camera: numbers, tile_table(camera): table})
    plain = policy.prepare({**samples, camera: pixels})
    assert list(tiled.inputs) == list(plain.inputs)
    assert all(torch.equal(tiled.inputs[key], plain.inputs[key]) for key in plain.inputs)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_so_is_named(name: str) -> None:
    from qat_steps import made, quantize_policy

    policy = made(name)
    arrays = {key: value.numpy() for key, value in policy.graphs()[0].example(16).items()}
    with pytest.raises(PolicyError, match=REFUSED[name]):
        quantize_policy(policy, name, arrays)


def test_gates_cannot_be_trained_so() -> None:
    from qat_steps import made, quantize_policy

    policy = made("driving_tiles", gated=True)
    with pytest.raises(PolicyError, match=r"policy 'driving_tiles' says 'vlac.task_masks'.*'gated' false"):
        quantize_policy(policy, "driving_tiles", {})
