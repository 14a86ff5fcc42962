"""The samplers of LeRobot's Diffusion Policy against what the package `diffusers` computes; torchvision's resizing."""

from __future__ import annotations

import numpy as np
import pytest

# diffusers 0.35.2, beta_start 1e-3, beta_end 0.05, from five values from -2 to 2, with the network
# tanh(0.9 x + t / training steps) - 0.3 x and the noises sin(0..4 + i) of step i: kind, what the network says,
# schedule, where actions are cut, training's steps, the sampler's
ENDS = {
    ("DDIM", "noise", "linear", 1.0, 50, 7): [-0.7796507, -0.6957727, -0.4250627, 0.8845522, 0.833622],
    ("DDIM", "action", "squaredcos_cap_v2", 0.5, 20, 4): [-0.261444, -0.0495684, 0.2243942, 0.2995322, 0.3348794],
    ("DDIM", "noise", "squaredcos_cap_v2", 1.0, 100, 10): [-0.4302722, -0.3845532, -0.3162748, 1.0, 0.2953363],
    ("DDPM", "noise", "scaled_linear", None, 30, 5): [-1.8697904, -0.7648093, -0.2613836, 0.3790436, 1.4983733],
    ("DDPM", "action", "squaredcos_cap_v2", 1.0, 12, 12): [0.2183589, 0.1420387, 0.0907224, 0.1121579, 0.1954964],
    ("DDPM", "noise", "squaredcos_cap_v2", 1.0, 100, 100): [-0.6431482, -0.6655159, -0.690944, -0.6940717, -0.6738762],
}


@pytest.mark.parametrize("case", ENDS, ids=str)
def test_steps_are_those_of_diffusers(case: tuple[str, str, str, float | None, int, int]) -> None:
    import torch

    from vla_models.sampling.clipped_steps import SCHEDULES, ClippedSampler, clipped_steps

    kind, says, schedule, reach, training, count = case

    class Net(torch.nn.Module):
        """A `Denoiser` of one number for each value."""

        def condition(self) -> None:
            return None

        def time_rows(self, times: torch.Tensor) -> torch.Tensor:
            return times[:, None] / training

        def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: None) -> torch.Tensor:
            return torch.tanh(0.9 * x + time_row) - 0.3 * x

    steps = clipped_steps(kind, SCHEDULES[schedule](training, 1e-3, 0.05), count, says == "noise")
    start = torch.linspace(-2, 2, 5)[None, :, None]
    noises = torch.stack([torch.sin(torch.arange(5.0) + i) for i in range(max(count - 1, 1))])[None, :, :, None]
    sampler = ClippedSampler(Net(), steps, reach)
    assert sampler.draws == (kind == "DDPM")
    found = sampler(start, noises) if sampler.draws else sampler(start)
    assert np.allclose(found[0, :, 0].numpy(), ENDS[case], atol=2e-5)


@pytest.mark.parametrize("size", [(20, 30), (11, 16), (41, 100), (7, 90)])
def test_resizing_is_torch_s(size: tuple[int, int]) -> None:
    """Smaller, larger, and either way in one of two directions."""
    import torch

    from vla_models.lerobot.resize import resize

    images = np.random.default_rng(0).random((2, 3, 32, 48), np.float32)
    wanted = torch.nn.functional.interpolate(torch.from_numpy(images), size, mode="bilinear", antialias=True)
    assert np.abs(resize(images, size) - wanted.numpy()).max() < 1e-5
