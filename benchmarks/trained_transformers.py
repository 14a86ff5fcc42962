"""A ViT and a GPT, trained here in seconds, in float, on the device and in ONNX Runtime's int8: their task metrics.

    pip install '.[train]'
    python benchmarks/trained_transformers.py [--models A,B] [--config NAME] [--json FILE]

vit   classifies drawn digits in noise, 16x16: percent right. gpt predicts the next character of Python's own
      documentation: perplexity. Both are PyTorch's nn.TransformerEncoderLayer, exported by `torch.onnx.export`.
x20   the same function with three channels of every norm 20 times as large, and the next layer's weights smaller

Post-training quantization alone, from the float ONNX file; calibration data is not among the test data. Targets: within
0.5 points and 0.5 % of float, with x20 within 1 point and 1 %.
"""

from __future__ import annotations

import argparse
import ast
import json
import logging
import pydoc_data.topics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime_int8 import PRODUCTS, int8_model, session
from prepare import machine, names_of
from torch import nn

import vlarun
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file

__all__ = ["MODELS", "measure", "misses"]

Array = NDArray[Any]
FACTOR, OUTLIERS = 20.0, 3
CALIBRATION = 64
NOISE = 0.6  # so much that float is wrong in one of ten
# a digit's rows, 5 bits each
_FONT = {
    0: (14, 17, 19, 21, 25, 17, 14),
    1: (4, 12, 4, 4, 4, 4, 14),
    2: (14, 17, 1, 2, 4, 8, 31),
    3: (31, 2, 4, 2, 1, 17, 14),
    4: (2, 6, 10, 18, 31, 2, 2),
    5: (31, 16, 30, 1, 1, 17, 14),
    6: (6, 8, 16, 30, 17, 17, 14),
    7: (31, 1, 2, 4, 8, 8, 8),
    8: (14, 17, 17, 14, 17, 17, 14),
    9: (14, 17, 17, 15, 1, 2, 12),
}


# --- data ---------------------------------------------------------------------------------------------


def digits(count: int, seed: int) -> tuple[Array, Array]:
    """Images float32 [count, 1, 16, 16] of digits at any place, of any contrast, in noise; and their classes."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, NOISE, (count, 1, 16, 16)).astype(np.float32)
    classes = rng.integers(0, 10, count)
    for image, number in zip(images[:, 0], classes, strict=True):
        rows = np.array([[row >> (4 - i) & 1 for i in range(5)] for row in _FONT[int(number)]])
        drawn = np.kron(rows, np.ones((2, 2)))
        y, x = rng.integers(0, 3), rng.integers(0, 7)
        image[y : y + 14, x : x + 10] += drawn * rng.uniform(0.7, 1.5)
    return images, classes


@cache
def text() -> tuple[Array, int]:
    """Characters as numbers, and how many there are."""
    source = Path(pydoc_data.topics.__file__).read_text(encoding="utf-8")
    topics = ast.literal_eval(source.split("topics = ", 1)[1])
    whole = "".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")
    found, numbers = np.unique(np.frombuffer(whole, np.uint8), return_inverse=True)
    return numbers.astype(np.int64), len(found)


# --- models -------------------------------------------------------------------------------------------


def layers(width: int, heads: int, count: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, count, norm=nn.LayerNorm(width), enable_nested_tensor=False)


class Vit(nn.Module):
    """Patches of 4x4 and a class token."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.layers, self.head = layers(width, 3, 2), nn.Linear(width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.places
        found: torch.Tensor = self.head(self.layers(x)[:, 0])
        return found


class Gpt(nn.Module):
    """Logits of the next character behind each of `LENGTH`."""

    LENGTH = 64

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(text()[1], width), nn.Linear(width, text()[1])
        self.places = nn.Parameter(0.02 * torch.randn(1, self.LENGTH, width))
        self.layers = layers(width, 4, 2)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(self.LENGTH))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens) + self.places
        found: torch.Tensor = self.head(self.layers(x, mask=self.mask, is_causal=True))
        return found


def blow_up(model: nn.Module) -> None:
    """Three channels of every norm in front of a layer 20 times as large; the function stays."""
    factor = torch.ones(model.head.in_features)
    factor[[5, 17, 30][:OUTLIERS]] = FACTOR
    with torch.no_grad():
        for layer in model.layers.layers:
            for norm, weight in ((layer.norm1, layer.self_attn.in_proj_weight), (layer.norm2, layer.linear1.weight)):
                norm.weight *= factor
                norm.bias *= factor
                weight /= factor
        model.layers.norm.weight *= factor
        model.layers.norm.bias *= factor
        model.head.weight /= factor


# --- tasks --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A model, its data and what is measured.

    Attributes:
        batch: inputs and targets of a training step, by its number.
        held_out: inputs and targets that training and calibration do not see.
        metric: of logits [N, ..., classes] and targets.
        targets: how far from float it may be, also with outliers; of perplexity a share.
    """

    make: Callable[[], nn.Module]
    name: str
    steps: int
    batch: Callable[[int], tuple[Array, Array]]
    held_out: Callable[[], tuple[Array, Array]]
    metric: Callable[[Array, Array], float]
    targets: tuple[float, float]
    relative: bool = False


def percent_right(logits: Array, classes: Array) -> float:
    return float(100 * (logits.argmax(axis=-1) == classes).mean())


def perplexity(logits: Array, tokens: Array) -> float:
    x = logits.astype(np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    shares = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return float(np.exp(-np.take_along_axis(shares, tokens[..., None], -1).mean()))


def windows(starts: Array) -> tuple[Array, Array]:
    """Characters [N, LENGTH] from these places of the text on, and the ones behind each."""
    numbers = text()[0]
    at = starts[:, None] + np.arange(Gpt.LENGTH)
    return numbers[at], numbers[at + 1]


def training_windows(step: int) -> tuple[Array, Array]:
    return windows(np.random.default_rng(step).integers(0, len(text()[0]) * 9 // 10 - Gpt.LENGTH - 1, 32))


def last_windows() -> tuple[Array, Array]:
    return windows(np.linspace(len(text()[0]) * 9 // 10, len(text()[0]) - Gpt.LENGTH - 1, 100).astype(np.int64))


MODELS = {
    "vit": Task(
        *(Vit, "image", 700, lambda step: digits(64, 100 + step), lambda: digits(2000, 0), percent_right, (0.5, 1.0))
    ),
    "gpt": Task(Gpt, "tokens", 500, training_windows, last_windows, perplexity, (0.005, 0.01), relative=True),
}


@cache
def trained(name: str) -> nn.Module:
    task = MODELS[name]
    torch.manual_seed(0)
    model = task.make()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=task.steps)
    for step in range(task.steps):
        inputs, targets = (torch.from_numpy(a) for a in task.batch(step))
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, -2), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def exported(model: nn.Module, name: str, path: Path) -> Path:
    example = torch.from_numpy(MODELS[name].batch(0)[0][:1])
    names = {"input_names": [MODELS[name].name], "output_names": ["logits"]}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of each operator of torchvision
    how = {"opset_version": 18, "dynamo": True, "external_data": False, "verbose": False}
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(model, (example,), path, **how, **names)
    return path


def measure(name: str, config: str = "u50", *, outliers: bool = False, beside: bool = True) -> dict[str, Any]:
    """The metric in float, on the device, and `beside` in ONNX Runtime's int8 of products and of every operator."""
    torch.set_num_threads(1)  # of such small layers a second thread is mostly waiting
    task, start = MODELS[name], time.perf_counter()
    model = trained(name)
    if outliers:
        copy = task.make().eval()
        copy.load_state_dict(model.state_dict())
        blow_up(copy)
        model = copy
    seconds = time.perf_counter() - start
    inputs, targets = task.held_out()
    seen = np.concatenate([task.batch(step)[0] for step in range(2)])[:CALIBRATION]
    calibration = [{task.name: sample[None]} for sample in seen]
    with tempfile.TemporaryDirectory() as folder:
        path = exported(model, name, Path(folder) / "model.onnx")
        program = compile_file(path, load(config), CompileOptions(calibration=calibration)).program
        assert program is not None
        device = vlarun.Session(program)
        found = {"float": by_one(session(path), inputs, task.name)}
        found["device"] = np.concatenate([device.run({task.name: x[None]})["logits"] for x in inputs])
        if beside:
            for label, operators in (("products", PRODUCTS), ("all", None)):
                found[label] = by_one(session(int8_model(path, calibration, operators)), inputs, task.name)
    row = {"model": name + (" x20" if outliers else ""), "train_seconds": seconds}
    return row | {label: task.metric(logits, targets) for label, logits in found.items()}


def by_one(model: Any, inputs: Sequence[Array], name: str) -> Array:
    return np.concatenate([model.run(None, {name: x[None]})[0] for x in inputs])


def misses(row: dict[str, Any]) -> bool:
    """Whether the device is further from float than it may be."""
    name, _, outliers = row["model"].partition(" ")
    task = MODELS[name]
    worse = row["device"] - row["float"] if task.relative else row["float"] - row["device"]
    return bool(worse > task.targets[bool(outliers)] * (row["float"] if task.relative else 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=names_of(MODELS), default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    print(f"{'':10s}{'float':>9s}{'device':>9s}{'ORT int8, products':>20s}{'ORT int8, all':>15s}")
    rows = []
    for name in args.models:
        for outliers in (False, True):
            row = measure(name, args.config, outliers=outliers)
            rows.append(row)
            figures = f"{row['float']:9.3f}{row['device']:9.3f}{row['products']:20.3f}{row['all']:15.3f}"
            print(f"{row['model']:10s}{figures}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(map(misses, rows)))


if __name__ == "__main__":
    raise SystemExit(main())
