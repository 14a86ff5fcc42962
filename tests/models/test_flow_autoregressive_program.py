"""Both heads as entry points of one program, on the Python runtime and on the Verilog machine, beside ONNX Runtime.

The policy is trained for a moment, so that its tokens mean something: where two bins are as likely, int8 may choose
either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest

import vlarun
from vla_models.chunks.names import ACTIONS, NOISE
from vla_models.draws import Draws
from vla_models.flow_autoregressive.names import AUTOREGRESSIVE, FLOW, HEADS, TOKENS
from vla_models.policy import Batch
from vla_models.registry import find_policy
from vlac.graphs import compile_graphs
from vlac.options import CompileOptions

SIZES: dict[str, Any] = {
    "prefix_width": 32,
    "prefix_hidden": 48,
    "action_width": 32,
    "action_hidden": 48,
    "depth": 1,
    "sampler_steps": 4,
    "horizon": 4,
    "execute": 1,
    "bins": 16,
}
KNOWN = 32  # observations, each with a chunk of its own
Arrays = dict[str, np.ndarray]


class Made(NamedTuple):
    """The policy, where its exported graphs lie, what it was trained on, and its program."""

    policy: Any
    path: Path
    seen: Arrays
    program: Any


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip("torch")
    from vla_models.export_onnx import export_onnx

    policy, batch = trained()
    path = tmp_path_factory.mktemp("heads") / "m.onnx"
    export_onnx(policy, path)
    seen = {name: value.numpy() for name, value in batch.inputs.items() if name != TOKENS}
    options = {}
    for graph in policy.graphs():
        options[graph.name] = CompileOptions(calibration={name: seen[name] for name in graph.inputs()})
    files = {name: path.with_stem(f"m-{name}") for name in HEADS}
    return Made(policy, path, seen, compile_graphs(files, "tiny", options).program)


def trained() -> tuple[Any, Batch]:
    import torch

    from vla_models.flow_autoregressive.vocabulary import bins_of
    from vla_training.objectives.registry import find_objective

    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = find_policy("flow_autoregressive")
    policy = spec.make(spec.configured(SIZES))
    inputs = policy.graphs()[0].example(KNOWN)
    # a line that begins at the pusher and leads somewhere
    ends = torch.rand(KNOWN, 1, 2, generator=torch.Generator().manual_seed(1)) * 5 - 2.5
    chunk = torch.linspace(0.25, 1, 4)[:, None] * ends
    batch = Batch({**inputs, TOKENS: bins_of(chunk, 16, 2.56)}, chunk)
    optimizer = torch.optim.Adam(policy.parameters(), lr=5e-3)
    objective = find_objective("flow_autoregressive").make(token_weight=1.0)
    for step in range(200):
        loss, watched = objective.loss(policy.train(), batch, Draws(torch.Generator().manual_seed(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(watched["accuracy"]) > 0.9
    return policy.eval(), batch


def of_the_machine(made: Made, entry: str, backend: str, count: int) -> np.ndarray:
    """The chunks (count, horizon, 2) of as many observations."""
    session = vlarun.Session(made.program, backend=backend)
    names = [name for name in made.seen if entry == FLOW or name != NOISE]
    chunks = [session.run({n: made.seen[n][i : i + 1] for n in names}, entry=entry)[ACTIONS] for i in range(count)]
    return np.concatenate(chunks)


def of_onnx_runtime(made: Made, entry: str, count: int) -> np.ndarray:
    session = onnxruntime.InferenceSession(made.path.with_stem(f"m-{entry}"), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return np.concatenate([session.run(None, {n: made.seen[n][i : i + 1] for n in names})[0] for i in range(count)])


def bins(chunks: np.ndarray) -> np.ndarray:
    """(count, 2 * horizon), by what a bin means."""
    return np.floor((chunks.reshape(len(chunks), -1) / 2.56 + 1) / 2 * 16).astype(int)


def test_tokens_are_those_of_onnx_runtime(made: Made) -> None:
    """99 of 100, each behind equal ones: from the first that differs on, another chunk is said."""
    found = bins(of_the_machine(made, AUTOREGRESSIVE, "sim", KNOWN))
    wanted = bins(of_onnx_runtime(made, AUTOREGRESSIVE, KNOWN))
    equal = found == wanted
    asked = np.logical_and.accumulate(np.c_[np.ones(KNOWN, bool), equal[:, :-1]], axis=1)
    assert equal[asked].mean() >= 0.99
    assert len(np.unique(wanted)) > 8


def test_tokens_and_heads_share_weights(made: Made) -> None:
    """Each of eight tokens has those of the layers; with the flow they are there once."""
    words = made.program.weights
    assert len(words) == len({word.tobytes() for word in words})


def test_the_flow_is_near_the_float_network(made: Made) -> None:
    found, wanted = of_the_machine(made, FLOW, "sim", 4), of_onnx_runtime(made, FLOW, 4)
    assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) > 25


@pytest.mark.parametrize("entry", HEADS)
def test_a_chunk_has_the_same_bytes_on_the_verilog_machine(made: Made, entry: str) -> None:
    assert np.array_equal(of_the_machine(made, entry, "rtl", 1), of_the_machine(made, entry, "sim", 1))
