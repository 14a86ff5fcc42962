"""A transformer policy as its authors write it, from PyTorch to a program: ACT (Zhao et al. 2023), an image and a state
to a chunk of actions.

    python examples/act_policy.py [--size small] [--config u50] [--onnx FILE] [--samples N]

A ResNet-18 sees, a transformer encoder reads its pixels beside the state, a decoder asks for one action a query; the
latent of its training is zero. Weights are random, and so are frames: what it prints is whether the policy compiles as
a whole, how far the program is from float, and what a chunk costs. Put your own module and frames in their places.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import vlac
import vlarun
from vla_isa import hardware, timing
from vla_isa.errors import VlaError

SIZES = {  # image, channels of the ResNet, width, layers of encoder and decoder, actions in a chunk
    "small": (64, (16, 24, 32, 48), 48, (2, 1), 8),
    "act": (224, (64, 128, 256, 512), 512, (4, 1), 100),
}
JOINTS = 14


class Block(nn.Module):
    """A basic block of ResNet-18."""

    def __init__(self, given: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(given, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])
        self.short: nn.Module = nn.Identity()
        if stride > 1 or given != channels:
            self.short = nn.Sequential(nn.Conv2d(given, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same size, or half of it."""
        y = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(y)) + self.short(x))


def resnet18(channels: tuple[int, ...]) -> nn.Sequential:
    """Image [N, 3, H, W] to [N, channels[-1], H / 32, W / 32]."""
    stem = [nn.Conv2d(3, channels[0], 7, 2, 3, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()]
    blocks, given = [], channels[0]
    for stage, width in enumerate(channels):
        blocks += [Block(given, width, 2 if stage else 1), Block(width, width, 1)]
        given = width
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks)


class Act(nn.Module):
    """The policy at run time: image [1, 3, S, S] and state [1, 14] to actions [1, chunk, 14]."""

    def __init__(self, size: str) -> None:
        super().__init__()
        image, channels, width, (encoders, decoders), chunk = SIZES[size]
        pixels = (image // 32) ** 2
        shape = {"nhead": 8, "dim_feedforward": 4 * width, "dropout": 0.0, "batch_first": True}
        self.trunk, self.to_rows = resnet18(channels), nn.Conv2d(channels[-1], width, 1)
        self.state = nn.Linear(JOINTS, width)
        self.latent = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 2 + pixels, width))
        self.queries = nn.Parameter(torch.randn(1, chunk, width))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, **shape), encoders)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(width, **shape), decoders, nn.LayerNorm(width))
        self.head = nn.Linear(width, JOINTS)

    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """A chunk of actions."""
        pixels = self.to_rows(self.trunk(image)).flatten(2).transpose(1, 2)
        rows = torch.cat([self.latent, self.state(state)[:, None], pixels], dim=1)
        actions: torch.Tensor = self.head(self.decoder(self.queries, self.encoder(rows + self.places)))
        return actions


def frames(count: int, size: str, seed: int) -> dict[str, np.ndarray]:
    """Smooth images and states, as no camera gives them."""
    rng, side = np.random.default_rng(seed), SIZES[size][0]
    coarse = rng.standard_normal((count, 3, 8, 8)).astype(np.float32)
    images = np.repeat(np.repeat(coarse, side // 8, axis=2), side // 8, axis=3)
    return {"image": images, "state": rng.standard_normal((count, JOINTS)).astype(np.float32)}


def main() -> int:
    """Print what the policy costs and how far it is from float; 0 where it is nearer than 20 dB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--onnx", type=Path, help="keep the exported model here")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    policy = Act(arguments.size).eval()
    seen, new = frames(arguments.samples, arguments.size, 0), frames(4, arguments.size, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.onnx or Path(folder) / "act.onnx"
        example = tuple(torch.from_numpy(array[:1]) for array in new.values())
        names = {"input_names": list(new), "output_names": ["actions"]}
        torch.onnx.export(policy, example, path, dynamo=True, opset_version=20, external_data=False, **names)
        program = vlac.compile_model(path, hardware.load(arguments.config), vlac.CompileOptions(calibration=seen))
    session = vlarun.Session(program)
    noise = signal = 0.0
    for i in range(4):
        given = {name: array[i : i + 1] for name, array in new.items()}
        with torch.no_grad():
            wanted = policy(*(torch.from_numpy(array) for array in given.values())).numpy()
        found = session.run(given)["actions"]
        noise, signal = noise + float(((found - wanted) ** 2).sum()), signal + float((wanted**2).sum())
    decibels = 10 * np.log10(signal / noise)
    print(f"{sum(s.macs for s in program.sources):,} MACs, nothing on the host")
    print(f"{timing.estimate(program).total_cycles:,} cycles a chunk on {arguments.config}, by the performance model")
    print(f"{decibels:.1f} dB from float")
    return 0 if decibels > 20 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VlaError as error:  # says what is wrong with a file, and what to do
        sys.exit(f"error: {error}")
