"""SIM v0 on the device: eyes, prefix, language model and heads are one program, with the same bytes in Verilog."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import vlarun
from vla_isa.hardware import load
from vla_models.registry import find_policy
from vla_models.sim_v0.names import HISTORY_INPUT, OUTPUTS, ROW
from vlac import CompileOptions, compile_file

SMALL = {"width": 16, "heads": 2, "layers": 1, "features": 16, "channels": (8, 8), "image_size": 16}
FRAMES = 24


class Made(NamedTuple):
    """A run's inputs, one frame behind another, the float outputs, and the program."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    program: Any


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Random weights; the history is of the rows that the policy itself made before."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from vla_models.export_onnx import export_onnx

    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = find_policy("sim_v0")
    policy = spec.make(spec.configured({**SMALL, "architecture": request.param})).eval()
    with torch.no_grad():
        policy.task *= 0.1  # beside it, as random as it begins, little of the rest would be heard
    inputs = policy.graphs()[0].example(FRAMES)
    history = torch.zeros_like(inputs[HISTORY_INPUT][:1])
    found = []
    with torch.no_grad():
        for number in range(FRAMES):
            inputs[HISTORY_INPUT][number] = history[0]
            frame = [value[number : number + 1] for value in inputs.values()]
            found.append(policy(*frame))
            history = torch.cat([history[:, 1:], found[-1][OUTPUTS.index(ROW)][:, None]], dim=1)
    path = tmp_path_factory.mktemp("sim_v0") / "m.onnx"
    export_onnx(policy, path)
    arrays = {name: value.numpy() for name, value in inputs.items()}
    outputs = {name: np.concatenate([each[n].numpy() for each in found]) for n, name in enumerate(OUTPUTS)}
    program = compile_file(Path(path), load("tiny"), CompileOptions(calibration=arrays)).program
    return Made(arrays, outputs, program)


def said(made: Made, backend: str, count: int) -> dict[str, np.ndarray]:
    session = vlarun.Session(made.program, backend=backend)
    return session.run({name: value[:count] for name, value in made.inputs.items()})


def test_nothing_runs_on_the_host(made: Made) -> None:
    assert [t.name for t in made.program.model_inputs] == list(made.inputs)
    assert {t.name for t in made.program.model_outputs} == set(OUTPUTS)


def test_what_is_said_is_near_the_float_network(made: Made) -> None:
    found = said(made, "sim", FRAMES)
    for name, wanted in made.outputs.items():
        changing = wanted - wanted.mean(axis=0)  # what depends on the frame
        off = found[name].reshape(wanted.shape) - wanted
        assert 10 * np.log10((changing**2).mean() / (off**2).mean()) > 12, name


def test_the_same_bytes_on_the_verilog_machine(made: Made) -> None:
    one, other = said(made, "sim", 2), said(made, "rtl", 2)
    assert all(np.array_equal(one[name], other[name]) for name in OUTPUTS)
    assert not np.array_equal(one["risk"][0], one["risk"][1])
