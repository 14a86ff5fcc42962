"""Tasks that an input chooses: samples are seen, and accuracy is measured, in their own task.

The reference is the float model in ONNX Runtime, with masks that the test puts in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder
from task_nets import masked_model, run_onnx

import vlarun
from vla_isa.errors import VlaError
from vla_toolchain.verify import report
from vla_toolchain.verify.report import loss_report
from vlac import CompileOptions, compile_file

BLOCK = 8
TASKS = {"one": {"conv0": [0]}, "two": {"conv0": [1]}}
Samples = list[dict[str, np.ndarray]]


def net() -> onnx.ModelProto:
    """A layer of two blocks that have the same weights: with both, what follows is twice what a task has."""
    g = GraphBuilder("chosen", seed=1)
    x, which = g.input("x", (1, 8, 8, 8)), g.input("which", (1, 2))
    twice = g.constant(np.concatenate([g.weight(8, 8, 1, 1)] * 2))
    y = g.node("Conv", [x, twice], 16)
    half = g.weight(8, 8, 1, 1)
    z = g.node("Conv", [y, g.constant(np.concatenate([half, half], axis=1))], 8)
    return g.model(z, g.node("Relu", [which], 2))


def samples(tasks: list[int]) -> Samples:
    """Those of task 1 are ten times those of task 0."""
    rng = np.random.default_rng(0)
    return [
        {
            "x": (rng.standard_normal((1, 8, 8, 8)) * 10.0**task).astype(np.float32),
            "which": np.eye(2, dtype=np.float32)[[task]],
        }
        for task in tasks
    ]


def compiled(given: Samples | str, **said: Any) -> Any:
    masks = {"block": BLOCK, **said, "tasks": TASKS}
    return compile_file(net(), "tiny", CompileOptions(calibration=given, task_masks=masks))


def spread(given: Samples, tasks: list[str]) -> float:
    """The scale of the first output: of what the samples make it, each in its task."""
    model = net()
    found = [
        run_onnx(masked_model(model, TASKS[task], BLOCK), sample)[model.graph.output[0].name]
        for task, sample in zip(tasks, given, strict=True)
    ]
    return float(np.max(found) - np.min(found)) / 255


@pytest.mark.parametrize("tasks", [[0, 1, 0, 1], [0, 0, 0]])
def test_ranges_are_those_of_each_samples_own_task(tasks: list[int]) -> None:
    """A task that no sample is of sees them all: here it makes of them what the other does."""
    given = samples(tasks)
    wanted = spread(given, [list(TASKS)[task] for task in tasks])
    assert compiled(given, input="which").program.outputs[0].scale == pytest.approx(wanted, rel=0.02)
    assert compiled(given).program.outputs[0].scale > 1.8 * wanted  # as a whole, too


def test_accuracy_is_that_of_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `main`, whose values reach twice as far as the scale, less would be left."""
    monkeypatch.setattr(report, "_SECONDS", 1e9)
    state = compiled(samples([0, 1] * 5), input="which")
    (line, *_), _ = loss_report(state, state.program)
    assert "2 samples held out" in line
    snr = float(line.split(":")[1].split()[1])
    session, model = vlarun.Session(state.program), net()
    name = model.graph.output[0].name
    sample = samples([0, 1] * 5)[9]
    wanted = run_onnx(masked_model(model, TASKS["two"], BLOCK), sample)[name]
    found = session.run(sample, entry="two")[name]
    assert snr > 30 and ((found - wanted) ** 2).sum() < 1e-3 * (wanted**2).sum()
    whole = run_onnx(model, sample)[name]
    assert ((session.run(sample, entry="main")[name] - whole) ** 2).sum() > 2e-3 * (whole**2).sum()


@pytest.mark.parametrize("said", [[0, 0], [1, 1], [0.4, 0.6], [-1, 0], [0, 5], [0, -1]])
def test_a_sample_that_chooses_no_task_is_refused(said: list[float]) -> None:
    """The largest of its numbers would choose one."""
    given = samples([0, 1, 0])
    given[1]["which"] = np.array([said], np.float32)
    with pytest.raises(VlaError, match=r"sample 1: input 'which' is .*, which chooses no task; it must be 1 at"):
        compiled(given, input="which")
    assert compiled(given).program.tasks  # there it is an input like any other


def test_random_numbers_choose_a_task() -> None:
    assert compiled("random:4", input="which").program.tasks
